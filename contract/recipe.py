"""What is done to an image: model, pipeline version, quality and renditions."""

import hashlib
import json
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from contract.errors import ErrorCode, PermanentError
from contract.policy import DEFAULT_POLICY, Policy
from contract.quality import DEFAULT, Quality
from contract.rendition import PLAIN, WITHOUT_PIXELS, Rendition

PIPELINE = 8
"""Version of the image code. Increase it when the same model and options give other pixels, so that
existing outputs are replaced."""


MODEL_NAMES = frozenset(
    {
        "u2net", "u2netp", "u2net-int8", "u2netp-int8", "u2netp-lite-int8", "u2net_human_seg",
        "silueta", "isnet-general-use",
    }
)  # fmt: skip
"""Models that a batch can use. A test compares them with the worker's registry."""


MAX_RENDITIONS = 8
"""Renditions of one photograph."""
MATTE = Rendition(name="matte", key="{dir}/{stem}.matte.{ext}", channels="alpha")
"""The output that is a kept matte: as the network and its refinement left it, on no canvas."""


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
    policy: Policy = Field(
        DEFAULT_POLICY,
        description="What becomes of photographs with a doubtful subject, and of files that fail"
        " their preset: `deliver`, `review` or `fail`. Default: doubts are only reported.",
        exclude_if=lambda policy: policy == DEFAULT_POLICY,
    )
    reframe: bool = Field(
        False,
        description="Photographs that are cut out already (transparent around the subject) or, if"
        " all outputs are on white, lie on plain white, are only cropped, scaled and placed: their"
        " own pixels are kept, and the network is not asked. Others are processed as usual.",
        exclude_if=lambda reframe: not reframe,
    )
    keep_matte: bool = Field(
        False,
        description="Keep the matte as `{dir}/{stem}.matte.png`. Further renditions by the same"
        " model and quality are then made from it, without inference.",
        exclude_if=lambda keep: not keep,
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
        """True if the recipe makes one rendition of each photograph."""
        return len(self.renditions) == 1

    @property
    def outputs(self) -> tuple[Rendition, ...]:
        """What is written for each photograph: the renditions, and the matte if it is kept."""
        return (*self.renditions, MATTE) if self.keep_matte else self.renditions

    @property
    def is_on_white(self) -> bool:
        """True if all outputs are pictures on opaque white."""
        return all(rendition.is_on_white for rendition in self.outputs)

    @property
    def keeps_profile(self) -> bool:
        """True if the photograph is decoded in its own profile, as all renditions need it."""
        return self.renditions[0].colour == "keep"

    @model_validator(mode="after")
    def _matte_is_distinct(self) -> Self:
        if not self.keep_matte:
            return self
        templates = {key_template(each, several=not self.is_single) for each in self.renditions}
        names = {each.name for each in self.renditions}
        if MATTE.name in names or key_template(MATTE, several=True) in templates:
            raise ValueError("a rendition has the name or the key of the kept matte")
        return self

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
        but that `reframe` recognises plain white only if all are on white; nor do the names and
        keys of renditions.
        """
        decisive: dict[str, object] = {
            "model": self.model,
            "pipeline": self.pipeline,
            "quality": self.quality.model_dump(mode="json"),
        }
        if self.reframe:
            # plain white is recognised only if all outputs are on white
            decisive["reframe"] = "white" if self.is_on_white else "transparency"
        if self.policy != DEFAULT_POLICY and rendition != MATTE:
            # it decides whether there is an output, and where
            decisive["policy"] = self.policy.model_dump(mode="json", exclude_defaults=True)
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
