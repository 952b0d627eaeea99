"""`cutout compare`: two recipes over a sample, as one page."""

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from contract import log
from contract.interpreter import python_command
from contract.recipe import MODEL_NAMES, Recipe
from contract.settings import settings
from producer.cli.options import Source, Workers, enable_ctrl_c
from producer.recipes.document import changed_recipe, read

app = typer.Typer()

First = Annotated[
    str, typer.Argument(metavar="A", help="A recipe's file, a preset, or a model's name.")
]
Second = Annotated[str, typer.Argument(metavar="B", help="The other one.")]
SampleSize = Annotated[
    int, typer.Option("--sample", min=1, metavar="N", help="Photographs that are processed.")
]
Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE", help="The HTML page to write.")
]


@app.command()
def compare(
    first: First,
    second: Second,
    source: Source,
    sample: SampleSize = 100,
    output: Output = Path("comparison.html"),
    workers: Workers = None,
) -> None:
    """Process a sample of the photographs at SRC twice, and write a page that compares the results.

    The page is one file without any other resource: how much the mattes differ, and the 50
    photographs that differ most, each with a slider. Runs on this machine, with Redis, a dispatcher
    and workers of its own; their outputs are discarded.

    Exit status: 0 the page was written; 1 it was not; 2 wrong usage; 130 interrupted.
    """
    from producer.local.sample import process_sample  # noqa: PLC0415 - the other verbs start faster
    from producer.local.weights import ensure_weights  # noqa: PLC0415

    enable_ctrl_c()
    log.configure(settings())
    recipes = [recipe_named(first), recipe_named(second)]
    for recipe in recipes:
        ensure_weights(recipe.model)
    with TemporaryDirectory(prefix="cutout-compare-") as folder:
        places = [Path(folder, name) for name in ("a", "b")]
        for recipe, place in zip(recipes, places, strict=True):
            place.mkdir()
            process_sample(source, recipe, sample, workers, place)
        outputs = [str(place / "outputs") for place in places]
        titles = ["--title", first, "--title", second]
        command = python_command("worker", "compare-outputs", *outputs, str(output), *titles)
        status = subprocess.run(command, check=False).returncode
    if status:
        raise typer.Exit(status)
    typer.echo(f"The comparison is in {output}.")


def recipe_named(text: str) -> Recipe:
    """Return a recipe that keeps the matte: of a model, a preset or a file.

    Raises PermanentError (`recipe_unknown`, `invalid_recipe`, `model_unknown`).
    """
    if text in MODEL_NAMES:
        return Recipe(model=text, keep_matte=True)
    return changed_recipe(read(text).recipe(settings().model), keep_matte=True)
