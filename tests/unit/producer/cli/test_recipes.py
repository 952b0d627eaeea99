"""`cutout recipes`, and how `--recipe` and `--preset` go with the other options."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from contract.errors import ErrorCode, PermanentError
from contract.presets import PRESETS
from contract.recipe import Recipe
from contract.rendition import Rendition
from producer.cli import main
from producer.cli.options import RecipeOptions
from producer.recipes.document import from_text, read

TWO = """\
renditions:
  - name: alpha
  - {name: web, format: webp}
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main.app, ["recipes", *arguments])


@pytest.mark.parametrize("form", [(), ("--json",)])
@pytest.mark.parametrize("name", PRESETS)
def test_what_is_shown_can_be_saved_and_used(name: str, form: tuple[str, ...]) -> None:
    result = run("show", name, *form)
    assert result.exit_code == 0
    assert from_text(result.stdout.encode()) == read(name)


def test_presets_are_listed() -> None:
    assert all(name in run("list", "--json").stdout for name in PRESETS)
    assert "amazon-main" in run("list").stdout


def test_a_checked_file_says_what_it_makes(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(TWO)
    result = run("check", str(file))
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1:] == ["  a/b.alpha.png (alpha)", "  a/b.web.webp (web)"]
    file.write_text("renditions: [{formt: jpg}]")
    error = run("check", str(file)).exception
    assert isinstance(error, PermanentError)
    assert error.code is ErrorCode.INVALID_RECIPE


def test_options_choose_a_recipe(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(TWO)
    two = (Rendition(name="alpha"), Rendition(name="web", format="webp"))
    chosen = RecipeOptions("u2net", recipe=str(file)).chosen()
    assert chosen == Recipe(model="u2net", renditions=two)
    white = RecipeOptions("u2net", presets=["white"]).chosen()
    assert white.renditions == (PRESETS["white"].rendition,)
    both = RecipeOptions("u2net", presets=["white", "mask"]).chosen()
    assert [rendition.name for rendition in both.renditions] == ["white", "mask"]
    assert RecipeOptions("u2net", refine="none").chosen().quality.refine == "none"


def test_options_that_contradict_a_recipe_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text("model: u2netp\n" + TWO)
    for options in (
        RecipeOptions("u2net", recipe=str(file)),
        RecipeOptions(refine="none", recipe=str(file)),
        RecipeOptions(decontaminate=False, presets=["white"]),
        RecipeOptions(recipe=str(file), presets=["white"]),
    ):
        with pytest.raises(PermanentError) as caught:
            options.chosen()
        assert caught.value.code is ErrorCode.INVALID_RECIPE
        assert "cannot be combined" in caught.value.message
