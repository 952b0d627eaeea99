"""The keys of the outputs of a photograph, one for each rendition of the recipe."""

import re
from collections.abc import Callable

from contract import names
from contract.recipe import MATTE, RecipeFields, key_template
from contract.rendition import Rendition

OutputKey = Callable[[str], str]
"""Returns the key of an output from that of the photograph."""

_SAME_FOLDER = "{dir}/{stem}"
_VALUE = re.compile(r"\{dir\}/|\{stem\}")


def output_key(recipe: RecipeFields, rendition: Rendition) -> OutputKey:
    """Return the function that names a rendition's outputs."""
    template = key_template(rendition, several=not recipe.is_single)
    rest = template.removeprefix(_SAME_FOLDER)
    if rest != template and not _VALUE.search(rest):
        return lambda key: names.output_key(key, rest)  # ten times as fast as a template
    return lambda key: _filled_in(template, key)


def output_keys(recipe: RecipeFields) -> list[OutputKey]:
    """Return the functions that name the outputs of a recipe, in order."""
    return [output_key(recipe, rendition) for rendition in recipe.outputs]


def cutout_output_key(destination_key: str, recipe: RecipeFields, rendition: Rendition) -> str:
    """Return the key of an output of a cutout: its destination, or for several, derived from it.

    Templates do not count: the client has named the destination.
    """
    if len(recipe.outputs) == 1 or (recipe.is_single and rendition != MATTE):
        return destination_key
    return names.output_key(destination_key, f".{rendition.name}{rendition.suffix}")


def has_own_keys(recipe: RecipeFields) -> bool:
    """Return whether renditions may share keys with those of other photographs or each other.

    Without templates the keys of two photographs are equal for all renditions, or for none: none
    has a dot in its name or format. The matte beside a single rendition, `a.matte.png`, may have
    the key of that of `a.matte.jpg`.
    """
    if recipe.is_single:
        return recipe.keep_matte
    return any(rendition.key for rendition in recipe.renditions)


def _filled_in(template: str, key: str) -> str:
    """Return a template with the folder and the stem of a key."""
    folder = key[: key.rfind("/") + 1]
    stem = key[len(folder) : len(key) - len(names.extension(key))]
    return _VALUE.sub(lambda match: stem if match[0] == "{stem}" else folder, template)
