"""What is done to an image: model, pipeline version, quality and renditions."""

import hashlib
import json
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from contract.errors import ErrorCode, PermanentError
from contract.quality import DEFAULT, Quality
from contract.rendition import PLAIN, WITHOUT_PIXELS, Rendition

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


Refusal = Literal["none", "no_subject", "doubtful"]
REFUSED: Refusal = "none"
"""What a recipe refuses by default: nothing, as 2 or 3 of 100 good photographs would be refused.

Doubts are in the report in any case. docs/quality.md has the figures.
"""


MAX_RENDITIONS = 8
"""Outputs of one photograph."""


def recipe_for(
    model: str, renditions: tuple[Rendition, ...] = (PLAIN,), quality: Quality = DEFAULT
) -> "Recipe":
    """Return the recipe of a model, or raise PermanentError (`model_unknown`)."""
    return Recipe(model=known_model(model), quality=quality, renditions=renditions)


def known_model(model: str) -> str:
    """Return the name of a model, or raise PermanentError (`model_unknown`)."""
    if model not in MODEL_NAMES:
        raise PermanentError(ErrorCode.MODEL_UNKNOWN, f"The model {model!r} does not exist.")
    return model


class RecipeFields(BaseModel):
    """What a recipe says beside its model: it may be written before the model is chosen."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    quality: Quality = Field(DEFAULT, description="How carefully the matte is computed.")
    refuse: Refusal = Field(
        REFUSED,
        description="Which doubts about the subject fail a photograph: `no_subject`; `doubtful`:"
        " any of `no_subject`, `ambiguous_subject`, `subject_cut_by_frame`; `none`: doubts are only"
        " reported.",
    )
    # left out if plain, so that most messages and rows are short
    renditions: tuple[Rendition, ...] = Field(
        (PLAIN,),
        min_length=1,
        max_length=MAX_RENDITIONS,
        description="The outputs of each photograph, all made from one decode and one inference.",
        exclude_if=lambda renditions: renditions == (PLAIN,),
    )

    @property
    def is_single(self) -> bool:
        """True if the recipe makes one output of each photograph."""
        return len(self.renditions) == 1

    def refuses(self, doubt: ErrorCode) -> bool:
        """Return whether a photograph with this doubt fails."""
        return self.refuse in {"doubtful", doubt}

    @property
    def keeps_profile(self) -> bool:
        """True if the photograph is decoded in its own profile, as all renditions need it."""
        return self.renditions[0].colour == "keep"

    @field_validator("renditions")
    @classmethod
    def _distinct(cls, renditions: tuple[Rendition, ...]) -> tuple[Rendition, ...]:
        if len(renditions) == 1:
            return renditions
        names = [rendition.name for rendition in renditions]
        if not all(names):
            raise ValueError("several renditions need a name each")
        if len({*names}) < len(names):
            raise ValueError("two renditions have the same name")
        if len({rendition.colour for rendition in renditions}) > 1:
            raise ValueError("all renditions must have the same colour: one decode makes them all")
        templates = [key_template(rendition, several=True) for rendition in renditions]
        if len({*templates}) < len(templates):
            raise ValueError("two renditions have the same key")
        return renditions


class Recipe(RecipeFields):
    """Everything that determines the outputs of a photograph."""

    model: str
    pipeline: int = PIPELINE

    @property
    def digest(self) -> str:
        """A stable hash of 16 hexadecimal digits of the whole recipe."""
        return _digest(self.model_dump_json())

    def digest_of(self, rendition: Rendition) -> str:
        """Return a stable hash of 16 hexadecimal digits of all that decides a rendition's pixels.

        An output with another digest is not current. Other renditions of the recipe do not count,
        nor do the names and keys of renditions.
        """
        decisive = {
            "model": self.model,
            "pipeline": self.pipeline,
            "quality": self.quality.model_dump(mode="json"),
        }
        if self.refuse != REFUSED:
            decisive["refuse"] = self.refuse  # it decides whether there is an output at all
        canonical = json.dumps(decisive, separators=(",", ":"))
        # without defaults, so that new fields do not change old digests
        fields = rendition.model_dump_json(exclude_defaults=True, exclude={*WITHOUT_PIXELS})
        return _digest(canonical if fields == "{}" else canonical + fields)


def key_template(rendition: Rendition, *, several: bool) -> str:
    """Return the template of a rendition's keys with its name and format filled in.

    `several`: its recipe has other renditions too.
    """
    default = "{dir}/{stem}.{name}.{ext}" if several else "{dir}/{stem}.{ext}"
    template = rendition.key or default
    return template.replace("{name}", rendition.name).replace("{ext}", rendition.format)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
