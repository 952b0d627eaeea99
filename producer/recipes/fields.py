"""The fields of a request, or of a rule, that say what is made of a photograph."""

from typing import Annotated, Any, Self, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from contract.presets import PRESETS
from contract.quality import DEFAULT, Quality
from contract.rendition import PLAIN, Rendition
from producer.recipes.document import RecipeDocument, of_presets

RECIPE_TEXT = (
    "What is made of each photograph: the name of a preset, or the fields of a recipe. Not"
    " together with `rendition` or `quality`; with `model` only if the recipe names none."
)


def _preset(name: str) -> RecipeDocument:
    if name not in PRESETS:
        raise PydanticCustomError("recipe_unknown", "no preset has this name")
    return of_presets([name])


def _form(value: Any) -> str:
    """Return the tag of the form in which a recipe is given."""
    return "<preset>" if isinstance(value, str) else "<fields>"


Preset = Annotated[
    str,
    AfterValidator(_preset),
    WithJsonSchema({"type": "string", "enum": [*PRESETS], "description": "The name of a preset."}),
]
RecipeField = (
    Annotated[
        Annotated[RecipeDocument, Tag("<fields>")] | Annotated[Preset, Tag("<preset>")],
        Discriminator(_form),
    ]
    | None
)
"""The fields of a recipe, or the name of a preset."""


class RecipeChoice(BaseModel):
    """A model and a quality, or a recipe."""

    model: str | None = None
    quality: Quality = DEFAULT
    recipe: RecipeField = Field(None, description=RECIPE_TEXT, examples=["white"])

    @property
    def given(self) -> RecipeDocument | None:
        """The recipe, if the request has one."""
        return cast("RecipeDocument | None", self.recipe)  # presets were replaced by theirs

    @model_validator(mode="after")
    def _is_chosen_once(self) -> Self:
        if self.given is None:
            return self
        for name in ("rendition", "quality"):
            if name in self.model_fields_set:
                raise ValueError(f"{name} belongs into the recipe")
        if self.model and self.given.model:
            raise ValueError("the model is named twice: remove it, or that of the recipe")
        return self

    @property
    def document(self) -> RecipeDocument:
        """The recipe, whichever way it was chosen. `model` is not part of it."""
        return self.given or RecipeDocument(quality=self.quality)


class RenditionChoice(RecipeChoice):
    """A model, a quality and a rendition, or a recipe."""

    rendition: Rendition = PLAIN

    @property
    def document(self) -> RecipeDocument:
        return self.given or RecipeDocument(quality=self.quality, renditions=(self.rendition,))
