"""What is done to an image. The digest of a recipe tells whether an existing output is current."""

import hashlib

from pydantic import BaseModel, ConfigDict, Field

from contract.errors import ErrorCode, PermanentError
from contract.rendition import PLAIN, Rendition

PIPELINE = 3
"""Raised whenever the same model and options would give other pixels: outputs are then redone."""


MODEL_NAMES = frozenset(
    {
        "u2net", "u2netp", "u2net-int8", "u2netp-int8", "u2net_human_seg", "silueta",
        "isnet-general-use",
    }
)  # fmt: skip
"""What a batch may ask for. The worker's registry holds a row for each; a test compares them."""


def recipe_for(model: str, rendition: Rendition = PLAIN) -> "Recipe":
    """Return the recipe of a model, or raise PermanentError (`model_unknown`)."""
    if model not in MODEL_NAMES:
        raise PermanentError(ErrorCode.MODEL_UNKNOWN, f"There is no model {model!r}.")
    return Recipe(model=model, rendition=rendition)


class Recipe(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    pipeline: int = PIPELINE
    # a plain message is what it was before there were renditions, so that releases may be mixed
    rendition: Rendition = Field(PLAIN, exclude_if=lambda rendition: rendition == PLAIN)

    @property
    def digest(self) -> str:
        """A stable name for the recipe: 16 hex digits over its canonical JSON."""
        canonical = self.model_dump_json(exclude={"rendition"})
        if self.rendition != PLAIN:  # without defaults: further fields leave old digests alone
            canonical += self.rendition.model_dump_json(exclude_defaults=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]
