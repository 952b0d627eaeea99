"""`cutout run`, `up` and `watch`: the job with a person in front of it."""

import json
import sys
import time
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from urllib.parse import unquote

from rich.console import Console
from rich.markup import escape

from contract import names
from contract.batch import Progress as BatchProgress
from contract.errors import NEXT_STEP, ErrorCode, PermanentError, RetryableError
from contract.ledger.redis_ledger import RedisLedger
from contract.outcome import Outcome
from contract.recipe import recipe_for
from contract.settings import settings
from contract.storage import canonical_location
from producer.batches import control, reports
from producer.batches.register import register, unfinished
from producer.batches.sources import listing
from producer.local.progress_bar import Screen
from producer.local.stack import Stack, ensure_weights, job_folder

POLL_SECONDS = 0.25
NAMED_FAILURES = 50


def run_job(
    source: str,
    destination: str,
    model: str | None,
    workers: int | None,
    *,
    force: bool,
    as_json: bool,
) -> int:
    """Carry out `cutout run` and return its exit status. Raises CutoutError."""
    config = settings()
    screen = Console(stderr=True)
    recipe = recipe_for(model or config.model)
    source, destination = canonical_location(source), canonical_location(destination)
    listing(source, destination)  # refuse what overlaps before anything starts
    screen.print(f"Checking the weights of {recipe.model} ...")
    ensure_weights(recipe.model)
    folder = job_folder(config, source, destination, recipe.digest, force)
    stack = Stack(config, recipe.model, workers, folder)
    try:
        with stack:
            screen.print(
                f"Flower: {stack.flower_url}", f"Logs:   {folder}", sep="\n", soft_wrap=True
            )
            ledger = RedisLedger(stack.redis_url)
            spec = unfinished(ledger, (source, destination, recipe, force))
            if spec:
                screen.print(f"Going on with batch {spec.id}.")
                if ledger.batches.progress(spec.id).state == "paused":
                    _resume(ledger, spec.id, screen)
            else:
                screen.print(f"Listing {source} ...", soft_wrap=True, markup=False)
                spec = register(ledger, source, destination, recipe, force=force)
            try:
                progress = follow(ledger, spec.id, as_json=as_json, stack=stack)
            except KeyboardInterrupt:
                screen.print("Stopping: images in hand are finished ...")
                raise
            status = finish(ledger, progress, as_json=as_json)
    except KeyboardInterrupt:
        screen.print("Stopped. The same command again goes on from here.")
        raise
    stack.forget()
    return status


def _resume(ledger: RedisLedger, batch: str, screen: Console) -> None:
    """Carry on with a paused batch, and with what failed before it paused."""
    if failed := control.retry(ledger, batch):
        screen.print(f"{failed:,} images that failed are tried again.")
    ledger.batches.resume(batch)


def stay_up(model: str | None, workers: int | None) -> None:
    """Carry out `cutout up`: until Ctrl-C. Raises CutoutError."""
    config = settings()
    screen = Console(stderr=True)
    name = model or config.model
    ensure_weights(name)
    folder = job_folder(config, "up", name)
    with Stack(config, name, workers, folder) as stack:
        screen.print(f"Flower: {stack.flower_url}", f"Logs:   {folder}", sep="\n", soft_wrap=True)
        screen.print(
            "In another terminal:", f"  export CUTOUT_REDIS_URL={stack.redis_url}", sep="\n"
        )
        screen.print("  cutout submit SRC DST", "Ctrl-C stops everything.", sep="\n")
        try:
            while True:
                stack.check()
                time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            screen.print("Stopping: images in hand are finished ...")


def follow(
    ledger: RedisLedger, batch: str, *, as_json: bool, stack: Stack | None = None
) -> BatchProgress:
    """Show a batch's progress until it is closed, and return its last state."""
    with closing(Screen(Console(stderr=True, quiet=as_json))) as screen:
        now = ledger.batches.progress(batch)
        while True:
            with suppress(RetryableError):  # while Redis is away, the last that was known
                now = ledger.batches.progress(batch)
            screen.show(now)
            if now.state == "closed":
                return now
            if stack:
                stack.check()
                if now.state == "paused" and now.retry_at is None:
                    raise PermanentError(ErrorCode.BATCH_PAUSED, now.stalled_reason)
            time.sleep(POLL_SECONDS)


def finish(ledger: RedisLedger, progress: BatchProgress, *, as_json: bool) -> int:
    """Print how a closed batch ended, failed images by name and code; return the exit status."""
    spec = progress.spec
    status = 3 if progress.failed else 0
    if as_json:
        named = islice(reports.failures(ledger, spec), NAMED_FAILURES)
        failures = [{"key": o.key, "code": o.code, "message": o.message} for o in named]
        sys.stdout.write(json.dumps({**reports.as_json(progress), "failures": failures}) + "\n")
        return status
    screen = Console(stderr=True)
    if progress.failed:
        for outcome in islice(reports.failures(ledger, spec), NAMED_FAILURES):
            key, why = (escape(names.printable(text)) for text in (outcome.key, outcome.message))
            screen.print(
                f"[red]failed[/] {key}: {outcome.code}: {why} {_next_step(outcome)}",
                soft_wrap=True, highlight=False,
            )  # fmt: skip
        if progress.failed > NAMED_FAILURES:
            screen.print(f"... and {progress.failed - NAMED_FAILURES:,} more in the report.")
    screen.print(
        f"{progress.done:,} done, {progress.skipped:,} skipped, {progress.failed:,} failed, "
        f"{spec.ignored:,} other files ignored."
    )
    where = _shown(spec.destination)
    screen.print(f"Cut-outs: {where}", soft_wrap=True, markup=False)
    screen.print(
        f"Report:   {where}/{names.report_key(spec.id, 'csv')}", soft_wrap=True, markup=False
    )
    return status


def _next_step(outcome: Outcome) -> str:
    return NEXT_STEP[outcome.code] if outcome.code else ""


def _shown(location: str) -> str:
    """Return a location as a person would type it."""
    if not location.startswith("file://"):
        return location
    path = Path(unquote(location.removeprefix("file://")))
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
