"""What is done to an image: model, pipeline version, quality and rendition."""

import hashlib

from pydantic import BaseModel, ConfigDict, Field

from contract.errors import ErrorCode, PermanentError
from contract.quality import DEFAULT, Quality
from contract.rendition import PLAIN, Rendition

PIPELINE = 5
"""Version of the image code. Increase it when the same model and options give other pixels, so that
existing outputs are replaced."""


MODEL_NAMES = frozenset(
    {
        "u2net", "u2netp", "u2net-int8", "u2netp-int8", "u2net_human_seg", "silueta",
        "isnet-general-use",
    }
)  # fmt: skip
"""Models that a batch can use. A test compares them with the worker's registry."""


def recipe_for(model: str, rendition: Rendition = PLAIN, quality: Quality = DEFAULT) -> "Recipe":
    """Return the recipe of a model, or raise PermanentError (`model_unknown`)."""
    if model not in MODEL_NAMES:
        raise PermanentError(ErrorCode.MODEL_UNKNOWN, f"The model {model!r} does not exist.")
    return Recipe(model=model, quality=quality, rendition=rendition)


class Recipe(BaseModel):
    """Everything that determines the output of a photograph."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    pipeline: int = PIPELINE
    quality: Quality = DEFAULT
    # left out if plain, so that older releases can read such messages
    rendition: Rendition = Field(PLAIN, exclude_if=lambda rendition: rendition == PLAIN)

    @property
    def digest(self) -> str:
        """A stable hash of 16 hexadecimal digits. An output with another digest is not current."""
        canonical = self.model_dump_json(exclude={"rendition"})
        if (
            self.rendition != PLAIN
        ):  # without defaults, so that new fields do not change old digests
            canonical += self.rendition.model_dump_json(exclude_defaults=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]
