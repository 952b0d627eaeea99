"""`cutout render`: registers a batch of further renditions, made from kept mattes."""

import typer

from contract import log
from contract.batch import Selection
from contract.schedule import IMMEDIATELY
from contract.settings import settings
from producer.cli.options import (
    AsJson,
    BatchId,
    PresetNames,
    RecipeName,
    chosen_document,
    open_ledger_of,
)
from producer.cli.schedule import Cap, Deadline, NotBefore, Priority, ScheduleOptions, Weight
from producer.cli.submit import CallbackUrl, Name, print_batch

app = typer.Typer()


@app.command()
def render(
    batch: BatchId,
    recipe_name: RecipeName = None,
    presets: PresetNames = None,
    priority: Priority = None,
    weight: Weight = None,
    cap: Cap = None,
    not_before: NotBefore = None,
    deadline: Deadline = None,
    callback_url: CallbackUrl = None,
    name: Name = "",
    as_json: AsJson = False,
) -> None:
    """Make other renditions of a batch's photographs, without inference; print the new batch's ID.

    Name a recipe or presets. The recipe of the batch must have had `keep_matte: true`. The new
    batch has the same photographs, destination, model and quality. A photograph that was changed
    since, or whose matte is missing, is processed from the start.
    """
    from producer.batches.register import register  # noqa: PLC0415 - slow to import
    from producer.recipes.rendering import recipe_of_render  # noqa: PLC0415

    log.configure(settings())
    document = chosen_document(recipe_name, presets)
    if document is None:
        raise typer.BadParameter("name a recipe or a preset", param_hint="--recipe")
    schedule = ScheduleOptions(priority, weight, cap, not_before, deadline).applied_to(IMMEDIATELY)
    ledger = open_ledger_of(batch)
    rendered = ledger.batches.progress(batch).spec
    spec = register(
        ledger, rendered.source, rendered.destination, recipe_of_render(document, rendered),
        selection=Selection(batch=batch), schedule=schedule, callback_url=callback_url, name=name,
    )  # fmt: skip
    ledger.sync()
    print_batch(spec, as_json=as_json)
