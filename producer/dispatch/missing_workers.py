"""Which workers a batch waits for."""

from contract import names
from contract.batch import Progress
from producer.dispatch.fleet import FleetView

NO_QUARANTINE = (
    "Images that crashed their process wait for a quarantine worker: `cutout worker --quarantine`."
)
NO_WORKER = "No worker serves {model} (pipeline {pipeline})"
START_ONE = ": `CUTOUT_MODEL={model} cutout worker`."
OTHER_RELEASE = (
    ", only pipeline {others}: start workers of the release that the batch was submitted with."
)
WORKER_START_SECONDS = 30
"""Time for workers started together with a batch to register, before NO_WORKER is reported."""


def missing_workers(progress: Progress, fleet: FleetView, now: float) -> str:
    """Return which workers a batch waits for, in a sentence; empty if it has all that it needs.

    `now`: Unix seconds.
    """
    recipe = progress.spec.recipe
    model, pipeline = recipe.model, recipe.pipeline
    queues = [names.bulk_queue(model, pipeline)]  # workers that serve it take cutouts too
    if progress.spec.cutout:
        queues.append(names.interactive_queue(model, pipeline))
    if progress.quarantined and not fleet.serves(names.quarantine_queue(model, pipeline)):
        return NO_QUARANTINE
    begin = max(progress.spec.created, progress.spec.schedule.start)
    starting = now <= begin + WORKER_START_SECONDS
    if starting or any(map(fleet.serves, queues)):
        return ""
    others = ", ".join(map(str, names.pipelines_of(model, fleet.queues())))
    text = NO_WORKER + (OTHER_RELEASE if others else START_ONE)
    return text.format(model=model, pipeline=pipeline, others=others)


def is_about_workers(reason: str) -> bool:
    """Return whether a stalled reason came from `missing_workers`, or is empty."""
    return not reason or reason == NO_QUARANTINE or reason.startswith(NO_WORKER.partition("{")[0])
