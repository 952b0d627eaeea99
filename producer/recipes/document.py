"""A recipe as users write it: a document, a file, or the names of presets."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError, model_validator

from contract.errors import ErrorCode, PermanentError
from contract.paths import expand
from contract.presets import PRESETS
from contract.recipe import MAX_RENDITIONS, Recipe, RecipeFields, known_model
from contract.rendition import Rendition
from contract.validation import first_error
from producer.recipes.yaml_text import MAX_BYTES, invalid, parse

SUFFIXES = (".yaml", ".yml", ".json")
"""Of the files of recipes. The name of a preset has no dot."""


class RecipeDocument(RecipeFields):
    """A recipe: the renditions that are made of each photograph, and how."""

    model: str | None = Field(
        None,
        max_length=100,
        description="The neural network. Default: that of the command, the request or the server.",
    )

    verify: bool = Field(
        False,
        description="Check every rendition against the preset after which it is named: the same as"
        " `verify` in each.",
    )

    @model_validator(mode="after")
    def _is_named_after_presets(self) -> Self:
        for rendition in self.renditions if self.verify else ():
            if rendition.verify is None and rendition.name not in PRESETS:
                raise ValueError(
                    f"`verify: true` checks renditions named after presets, and {rendition.name!r}"
                    " is none: name a preset in its own `verify`"
                )
        return self

    @property
    def has_keys(self) -> bool:
        """True if a rendition has a template for its keys."""
        return any(rendition.key is not None for rendition in self.renditions)

    def recipe(self, model: str) -> Recipe:
        """Return the recipe; `model`: the one to use if the document names none.

        Raises PermanentError (`model_unknown`).
        """
        fields = {name: getattr(self, name) for name in RecipeFields.model_fields}
        fields["renditions"] = tuple(map(self._checked, self.renditions))
        return Recipe(**fields, model=known_model(self.model or model))

    def _checked(self, rendition: Rendition) -> Rendition:
        """Return a rendition that says which preset it must fulfil, if the document says so."""
        if not self.verify or rendition.verify is not None:
            return rendition
        return rendition.model_copy(update={"verify": rendition.name})


def changed_recipe(recipe: Recipe, **fields: object) -> Recipe:
    """Return a recipe with other fields. Raises PermanentError (`invalid_recipe`)."""
    try:
        return Recipe.model_validate({**dict(recipe), **fields})
    except ValidationError as error:
        raise PermanentError(ErrorCode.INVALID_RECIPE, first_error(error).sentence) from None


def of_presets(names: Sequence[str]) -> RecipeDocument:
    """Return the document with the renditions of presets, which are named after them.

    Raises PermanentError (`recipe_unknown`, `invalid_recipe`).
    """
    renditions = []
    for name in names:
        if name not in PRESETS:
            raise PermanentError(
                ErrorCode.RECIPE_UNKNOWN,
                f"{name!r} is not a preset. There are {', '.join(PRESETS)}.",
            )
        renditions.append(PRESETS[name].rendition)
    if len({*names}) < len(names) or len(names) > MAX_RENDITIONS:
        raise PermanentError(
            ErrorCode.INVALID_RECIPE,
            f"Name each preset once, and at most {MAX_RENDITIONS} of them.",
        )
    return RecipeDocument(renditions=tuple(renditions))


def read(text: str) -> RecipeDocument:
    """Return the recipe of a file, if `text` looks like its path, or of a preset.

    Raises PermanentError: `recipe_unknown`, or `invalid_recipe` with the line and the field.
    """
    path = expand(Path(text))
    if "/" not in text and not text.lower().endswith(SUFFIXES) and not path.is_file():
        return of_presets([text])
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PermanentError(
            ErrorCode.RECIPE_UNKNOWN, f"The recipe {text!r} cannot be read ({error.strerror})."
        ) from None
    try:
        return from_text(data)
    except PermanentError as error:
        raise PermanentError(error.code, f"{text}: {error.message}") from None


def from_text(data: bytes) -> RecipeDocument:
    """Return the recipe of a YAML or JSON text. Raises PermanentError (`invalid_recipe`)."""
    document = parse(data)
    try:
        # as JSON, so that a list is accepted as a tuple, and no text as a number
        recipe = RecipeDocument.model_validate_json(json.dumps(document.value), strict=True)
    except ValidationError as error:
        problem = first_error(error)
        raise invalid(document.line_of(problem.path), problem.sentence) from None
    if recipe.model is not None:
        try:
            known_model(recipe.model)
        except PermanentError as error:
            line = document.line_of(("model",))
            raise PermanentError(error.code, f"Line {line}: model: {error.message}") from None
    return recipe
