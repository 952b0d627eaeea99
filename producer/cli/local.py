"""`cutout run` and `cutout up`: everything on one machine."""

import typer

from contract import log
from contract.settings import settings
from producer.cli.options import (
    AsJson,
    Decontaminate,
    Destination,
    Force,
    ModelName,
    Passes,
    PresetNames,
    RecipeName,
    RecipeOptions,
    Refine,
    Source,
    Workers,
    enable_ctrl_c,
)

app = typer.Typer()


@app.command()
def run(
    source: Source,
    destination: Destination,
    model: ModelName = None,
    refine: Refine = None,
    passes: Passes = None,
    decontaminate: Decontaminate = None,
    recipe_name: RecipeName = None,
    presets: PresetNames = None,
    workers: Workers = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Process every photograph below SRC on this machine, and write the outputs below DST.

    Starts Redis (unless CUTOUT_REDIS_URL is set), a dispatcher, workers and Flower, shows the
    progress, and stops them all at the end. Ctrl-C stops cleanly: images being processed are
    finished first. To continue an interrupted run, run the same command again.

    Reads JPEG, PNG, WebP, AVIF, HEIC, TIFF, BMP, GIF and MPO. The output of a/b.jpg is a/b.png
    unless a recipe says otherwise.

    Exit status: 0 all images done or skipped; 3 some images failed (each is named); 1 the run
    could not be carried out; 2 wrong usage; 130 interrupted.
    """
    from producer.local.run import run_job  # noqa: PLC0415 - the other verbs start faster without

    enable_ctrl_c()
    log.configure(settings())
    recipe = RecipeOptions(
        model, refine, passes, decontaminate, recipe=recipe_name, presets=presets
    ).chosen()
    raise typer.Exit(run_job(source, destination, recipe, workers, force=force, as_json=as_json))


@app.command()
def up(model: ModelName = None, workers: Workers = None) -> None:
    """Keep Redis, a dispatcher, workers and Flower running on this machine until Ctrl-C.

    Prints the CUTOUT_REDIS_URL to use for `cutout submit` in another terminal, unless it is set.
    """
    from producer.local.run import stay_up  # noqa: PLC0415

    enable_ctrl_c()
    stay_up(model, workers)
