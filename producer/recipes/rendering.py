"""What renders a batch again: other renditions, from its photographs and kept mattes."""

from contract.batch import BatchSpec
from contract.errors import ErrorCode, PermanentError
from contract.recipe import Recipe
from producer.recipes.document import RecipeDocument, changed_recipe


def recipe_of_render(document: RecipeDocument, spec: BatchSpec) -> Recipe:
    """Return a recipe by the model and the quality of a batch, so that it uses its mattes.

    Raises PermanentError: `batch_conflict` if the batch keeps none, `invalid_recipe` if the
    document needs others.
    """
    kept = spec.recipe
    if not kept.keep_matte:
        raise PermanentError(
            ErrorCode.BATCH_CONFLICT,
            f"{spec.id} has no kept mattes: its recipe lacks `keep_matte: true`.",
        )
    named = document.model_fields_set
    other_quality = "quality" in named and document.quality != kept.quality
    if document.model not in {None, kept.model} or other_quality:
        raise PermanentError(
            ErrorCode.INVALID_RECIPE,
            f"The mattes of {spec.id} were made by {kept.model}, with the quality"
            f" {kept.quality.model_dump_json()}. Remove `model` and `quality` from the recipe, or"
            " use `cutout submit`.",
        )
    return changed_recipe(
        document.recipe(kept.model), quality=kept.quality, reframe=kept.reframe, keep_matte=True
    )
