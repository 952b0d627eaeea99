"""Outputs are named after their photograph, by the template of each rendition."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contract import names
from contract.output_keys import cutout_output_key, output_key, output_keys
from contract.recipe import MATTE, Recipe
from contract.rendition import Rendition

JPG = Rendition(name="web", format="jpg")
ALONE = Recipe(model="u2netp", renditions=(JPG,))
TWO = Recipe(model="u2netp", renditions=(Rendition(name="alpha"), JPG))


def key_of(template: str, photograph: str) -> str:
    rendition = JPG.model_copy(update={"key": template})
    return output_key(Recipe(model="u2netp", renditions=(rendition,)), rendition)(photograph)


@pytest.mark.parametrize(
    ("photograph", "alone", "two"),
    [
        ("a.png", "a.jpg", ["a.alpha.png", "a.web.jpg"]),
        ("x/y/a.b.png", "x/y/a.b.jpg", ["x/y/a.b.alpha.png", "x/y/a.b.web.jpg"]),
        ("x.y/.png", "x.y/.png.jpg", ["x.y/.png.alpha.png", "x.y/.png.web.jpg"]),
        ("a//b.png", "a//b.jpg", ["a//b.alpha.png", "a//b.web.jpg"]),
    ],
)
def test_without_a_template_the_name_tells_outputs_apart(
    photograph: str, alone: str, two: list[str]
) -> None:
    assert output_key(ALONE, JPG)(photograph) == alone
    assert [key(photograph) for key in output_keys(TWO)] == two


@pytest.mark.parametrize(
    ("template", "photograph", "key"),
    [
        ("{dir}/{stem}.{ext}", "x/a.png", "x/a.jpg"),
        ("{dir}/{stem}.{ext}", "a.png", "a.jpg"),
        ("{name}/{dir}/{stem}.{ext}", "x/y/a.png", "web/x/y/a.jpg"),
        ("{name}/{dir}/{stem}.{ext}", "a.png", "web/a.jpg"),
        ("{stem}_{name}-{stem}.{ext}", "x/a.png", "a_web-a.jpg"),
        ("{dir}/{stem}/{dir}/main.{ext}", "x/a.png", "x/a/x/main.jpg"),
        ("{dir}/{stem}.{ext}", "{dir}/{stem}{ext}{name}.png", "{dir}/{stem}{ext}{name}.jpg"),
        ("q/{dir}/{stem}.{ext}", "{dir}/{stem}{ext}.png", "q/{dir}/{stem}{ext}.jpg"),
    ],
)
def test_a_template_is_filled_in(template: str, photograph: str, key: str) -> None:
    assert key_of(template, photograph) == key


@given(st.text(st.sampled_from("ab./{}"), min_size=1, max_size=12))
def test_the_default_is_the_template_that_is_documented(photograph: str) -> None:
    slow = key_of("./{dir}/{stem}.{ext}".removeprefix("./"), photograph)
    assert slow == names.output_key(photograph, ".jpg") == output_key(ALONE, JPG)(photograph)


@pytest.mark.parametrize(
    "template",
    [
        "", "{stem}", "a.{ext}", "{stem}.jpg", "{dir}{stem}.{ext}", "{stem}{}.{ext}",
        "{stem}{line}.{ext}", "{stem.{ext}", "/{stem}.{ext}", "../{stem}.{ext}",
        "a/../{stem}.{ext}", "a//{stem}.{ext}", "./{stem}.{ext}", "_cutout/{stem}.{ext}",
        "_review/{stem}.{ext}",
        "{stem}\n.{ext}", "{stem}\0.{ext}", "x" * 200 + "{stem}.{ext}", "{dir}/../{stem}.{ext}",
    ],
)  # fmt: skip
def test_a_template_that_makes_no_plain_distinct_keys_is_refused(template: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Rendition(name="web", key=template)
    assert {error["loc"] for error in caught.value.errors()} == {("key",)}


def test_a_cutout_has_the_key_that_the_client_named() -> None:
    assert cutout_output_key("x/shoe.picture", ALONE, JPG) == "x/shoe.picture"
    keys = [cutout_output_key("x/shoe.picture", TWO, each) for each in TWO.renditions]
    assert keys == ["x/shoe.alpha.png", "x/shoe.web.jpg"]


def test_the_kept_matte_is_named_after_the_photograph_or_the_destination() -> None:
    for recipe in (ALONE, TWO):
        keeping = recipe.model_copy(update={"keep_matte": True})
        *rest, matte = output_keys(keeping)
        assert matte("x/a.b.jpg") == "x/a.b.matte.png"
        assert [key("x/a.jpg") for key in rest] == [key("x/a.jpg") for key in output_keys(recipe)]
        assert cutout_output_key("o/a.jpg", keeping, MATTE) == "o/a.matte.png"
    assert cutout_output_key("o/a.jpg", ALONE, JPG) == "o/a.jpg"
    assert cutout_output_key("o/a.jpg", keeping, JPG) == "o/a.web.jpg"
