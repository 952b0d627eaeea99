"""`cutout run` and `cutout up`: one job, or none yet, with a cluster started for it."""

import time

from rich.console import Console

from contract.batch import BatchSpec, Progress
from contract.errors import ErrorCode, PermanentError
from contract.ledger.redis_ledger import RedisLedger
from contract.recipe import Recipe
from contract.settings import settings
from contract.storage import canonical_location
from producer.batches import control
from producer.batches.locations import Locations, resolve
from producer.batches.register import find_unfinished, register
from producer.local.following import POLL_SECONDS, follow
from producer.local.stack import Stack, job_folder
from producer.local.summary import print_summary
from producer.local.weights import ensure_weights

STOPPING = "Stopping: images being processed are finished ..."


def run_job(
    source: str,
    destination: str,
    recipe: Recipe,
    workers: int | None,
    *,
    force: bool,
    as_json: bool,
) -> int:
    """Carry out `cutout run` and return its exit status. Raises CutoutError."""
    config = settings()
    console = Console(stderr=True)
    source, destination = canonical_location(source), canonical_location(destination)
    locations = resolve(source, destination)  # refuse overlapping ones before anything starts
    console.print(f"Checking the weights of {recipe.model} ...")
    ensure_weights(recipe.model)
    folder = job_folder(config, source, destination, recipe.digest, force)
    stack = Stack(config, recipe.model, workers, folder)
    try:
        with stack:
            _print_addresses(console, stack)
            ledger = stack.ledger
            spec = _continue_or_register(ledger, source, locations, recipe, force, console)
            try:
                progress = follow(
                    ledger, spec.id, as_json=as_json, check=lambda p: _check(stack, p)
                )
            except KeyboardInterrupt:
                console.print(STOPPING)
                raise
            status = print_summary(ledger, progress, as_json=as_json)
    except KeyboardInterrupt:
        console.print("Stopped. The same command continues from here.")
        raise
    stack.delete_redis_data()
    return status


def _continue_or_register(
    ledger: RedisLedger,
    source: str,
    locations: Locations,
    recipe: Recipe,
    force: bool,
    console: Console,
) -> BatchSpec:
    """Return the batch that an interrupted run of the same command left, or else a new one."""
    spec = find_unfinished(ledger, locations, recipe, force=force)
    if spec is None:
        console.print(f"Listing {source} ...", soft_wrap=True, markup=False)
        return register(ledger, source, locations.destination, recipe, force=force)
    console.print(f"Continuing batch {spec.id}.")
    if ledger.batches.progress(spec.id).state == "paused":
        # the failures that made it pause are retried as well
        if reopened := control.retry(ledger, spec.id):
            console.print(f"{reopened:,} failed images will be retried.")
        ledger.batches.resume(spec.id)
    return spec


def _check(stack: Stack, progress: Progress) -> None:
    """Raise PermanentError if a process died, or the batch paused until an operator resumes it."""
    stack.check()
    if progress.state == "paused" and progress.retry_at is None:
        raise PermanentError(ErrorCode.BATCH_PAUSED, progress.stalled_reason)


def stay_up(model: str | None, workers: int | None) -> None:
    """Carry out `cutout up`: run until Ctrl-C. Raises CutoutError."""
    config = settings()
    console = Console(stderr=True)
    name = model or config.model
    ensure_weights(name)
    with Stack(config, name, workers, job_folder(config, "up", name)) as stack:
        _print_addresses(console, stack)
        if config.redis_url is None:
            where = f"In another terminal:\n  export CUTOUT_REDIS_URL={stack.redis_url}"
        else:  # it may hold a password
            where = "In another terminal, with the same CUTOUT_REDIS_URL:"
        console.print(
            where, "  cutout submit SRC DST", "Ctrl-C stops everything.", sep="\n", soft_wrap=True,
            markup=False,
        )  # fmt: skip
        try:
            while True:
                stack.check()
                time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            console.print(STOPPING)


def _print_addresses(console: Console, stack: Stack) -> None:
    console.print(
        f"Flower: {stack.flower_url}", f"Logs:   {stack.folder}", sep="\n", soft_wrap=True,
        markup=False,
    )  # fmt: skip
    for warning in stack.warnings:
        console.print(f"Warning: {warning}", soft_wrap=True, markup=False)
