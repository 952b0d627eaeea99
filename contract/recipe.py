"""What is to be done to an image. Its digest says whether an existing output is still right."""

import hashlib

from pydantic import BaseModel, ConfigDict

from contract.errors import ErrorCode, PermanentError

PIPELINE = 2
"""Raised whenever the same model and options would give other pixels: outputs are then redone."""


MODEL_NAMES = frozenset(
    {
        "u2net", "u2netp", "u2net-int8", "u2netp-int8", "u2net_human_seg", "silueta",
        "isnet-general-use",
    }
)  # fmt: skip
"""What a batch may ask for. The worker's registry holds a row for each; a test compares them."""


def recipe_for(model: str) -> "Recipe":
    """Return the recipe of a model, or raise PermanentError (`model_unknown`)."""
    if model not in MODEL_NAMES:
        raise PermanentError(ErrorCode.MODEL_UNKNOWN, f"There is no model {model!r}.")
    return Recipe(model=model)


class Recipe(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    pipeline: int = PIPELINE

    @property
    def digest(self) -> str:
        """A stable name for the recipe: 16 hex digits over its canonical JSON."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]
