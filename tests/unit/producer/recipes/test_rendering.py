"""A batch is rendered again by its own model and quality, or not at all."""

import pytest

from contract.batch import BatchSpec
from contract.errors import ErrorCode, PermanentError
from contract.quality import Quality
from contract.recipe import MATTE, Recipe
from contract.rendition import Rendition
from producer.recipes.document import RecipeDocument, from_text, of_presets
from producer.recipes.rendering import recipe_of_render

QUALITY = Quality(refine="none", passes=1)
KEPT = Recipe(model="u2net-int8", quality=QUALITY, keep_matte=True)


def spec(recipe: Recipe = KEPT) -> BatchSpec:
    return BatchSpec(
        id="b-20260101-000000-000000", source="s3://a", destination="s3://b", recipe=recipe,
        created=0, total=1, segment_lines=1,
    )  # fmt: skip


@pytest.mark.parametrize(
    "document",
    [
        of_presets(["white", "amazon-main"]),
        from_text(b"model: u2net-int8\nrenditions: [{name: t, max_side: 9}]"),
        from_text(b"quality: {refine: none, passes: 1}\nrenditions: [{name: t}]"),
    ],
    ids=["presets", "its model", "its quality"],
)
def test_the_mattes_stay_current(document: RecipeDocument):
    recipe = recipe_of_render(document, spec())
    assert recipe.digest_of(MATTE) == KEPT.digest_of(MATTE)
    assert (recipe.keep_matte, recipe.renditions) == (True, document.renditions)


@pytest.mark.parametrize(
    "text", ["model: u2net", "quality: {refine: edges}"], ids=["model", "quality"]
)
def test_a_recipe_that_needs_other_mattes_is_refused(text: str):
    with pytest.raises(PermanentError, match="were made by u2net-int8") as caught:
        recipe_of_render(from_text(text.encode()), spec())
    assert caught.value.code is ErrorCode.INVALID_RECIPE


def test_a_batch_without_mattes_is_refused_by_name():
    with pytest.raises(PermanentError, match="keep_matte: true") as caught:
        recipe_of_render(of_presets(["white"]), spec(Recipe(model="u2net-int8")))
    assert caught.value.code is ErrorCode.BATCH_CONFLICT


def test_a_rendition_with_the_name_of_the_matte_is_refused():
    document = RecipeDocument(renditions=(Rendition(name="matte"),))
    with pytest.raises(PermanentError, match="the kept matte") as caught:
        recipe_of_render(document, spec())
    assert caught.value.code is ErrorCode.INVALID_RECIPE
