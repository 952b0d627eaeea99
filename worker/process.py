"""One image, from claim to settled. Read this first."""

import random
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog
from celery.exceptions import SoftTimeLimitExceeded

from contract.errors import CutoutError, ErrorCode, PermanentError, RetryableError
from contract.job import CutoutJob
from contract.ledger.lines import ENDED_WELL, Claim, Refusal
from contract.outcome import Outcome, Status
from contract.storage import open_store
from worker.fetch import fetch
from worker.imaging.cutout import compose
from worker.imaging.decode import decode
from worker.imaging.encode import encode
from worker.imaging.render import render, subject_box, within
from worker.retry import deadline_of, insist
from worker.runtime import Runtime

log = structlog.get_logger(__name__)

MOST_VANISHED = 3
"""A process that vanishes (crash, OOM kill) says nothing. Three of them condemn the image."""

TURN_SHARE = 1 / 40
"""Of the time limit: the longest wait for a turn. It counts as the image's own time."""

CURRENT = ("source-etag", "recipe", "model-sha256")
"""The marks on an output that must agree for it to be what we would write now."""


class DeferredError(Exception):
    """The image was put back for a later try; not an end."""


@dataclass
class Run:
    """One attempt at one image, and the milliseconds each stage of it took."""

    job: CutoutJob
    attempt: int
    token: str
    deadline: float
    """until when it waits for a Redis that does not answer; of time.monotonic()"""
    milliseconds: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.milliseconds[name] = round((time.perf_counter() - start) * 1000)


def process(job: CutoutJob, runtime: Runtime) -> Outcome | Refusal:
    """Bring an image to its terminal state and return it, or say why there is nothing to do.

    Safe to repeat at any point: the output is written whole before the line is settled, and a
    repeated run finds it. Raises DeferredError where a later try may succeed.
    """
    deadline = deadline_of(runtime.config.time_limit)
    token = runtime.holder + secrets.token_hex(4)
    lease, quarantine = runtime.config.visibility_timeout, runtime.quarantine
    ledger = runtime.ledger
    claim = insist(
        deadline, lambda: ledger.claim(job.batch, job.line, token, lease, quarantine=quarantine)
    )
    if isinstance(claim, Refusal):
        return claim
    run = Run(job, claim.attempt, token, deadline)
    ending = ENDED_WELL
    try:
        _refuse_poison(claim, run)
        outcome = _skip(run, runtime) or _cut(run, runtime)
    except Exception as error:
        outcome, ending = _judge(error, run, runtime)
    settled = insist(deadline, lambda: ledger.finish(job.batch, outcome, ending))
    if not settled:
        _clear_away(job, runtime)
        return Refusal("settled")
    return outcome


def _clear_away(job: CutoutJob, runtime: Runtime) -> None:
    """Delete what was written of a single image that somebody deleted meanwhile."""
    if job.is_ours and not runtime.ledger.knows(job.batch):
        open_store(job.destination).delete(job.output_key)


def _refuse_poison(claim: Claim, run: Run) -> None:
    if claim.vanished >= MOST_VANISHED:
        run.attempt -= 1  # this one is none: it only says how the others ended
        what = claim.deaths or "no worker was left to say what ended them"
        raise PermanentError(
            ErrorCode.POISONED, f"{claim.vanished} processes ended while they worked on it: {what}."
        )


def _skip(run: Run, runtime: Runtime) -> Outcome | None:
    """Return an outcome where the destination already holds what we would write."""
    job = run.job
    with run.stage("check"):
        head = open_store(job.destination).head(job.output_key)
    marks = _marks(job, runtime, job.photograph.etag)
    if head is None or any(head.metadata.get(name) != marks[name] for name in CURRENT):
        return None
    if head.metadata.get("batch") == job.batch:
        # written by an attempt that vanished before it could say so
        status = Status.DONE
    elif job.force:
        return None
    else:
        status = Status.SKIPPED
    return _outcome(run, status, source_etag=job.photograph.etag, outputs=[job.output_key])


def _cut(run: Run, runtime: Runtime) -> Outcome:
    job, rendition = run.job, run.job.recipe.rendition
    with run.stage("fetch"):
        blob = fetch(job, runtime.config)
    try:
        with run.stage("wait"):
            runtime.turns.take(_patience(job, runtime))
        with run.stage("decode"):
            photograph = decode(blob.data, runtime.limits)
        with run.stage("matte"):
            matte = runtime.session.matte(photograph.rgb)
        with run.stage("compose"):
            cutout = within(compose(photograph, matte), rendition.roi)
        with run.stage("render"):
            picture = render(cutout, rendition)
        with run.stage("encode"):
            data = encode(picture, rendition)
    finally:
        runtime.turns.end()
    with run.stage("store"):
        open_store(job.destination).put(
            job.output_key, data, rendition.content_type, _marks(job, runtime, blob.etag)
        )
    width, height = picture.size
    return _outcome(
        run,
        Status.DONE,
        width=width,
        height=height,
        foreground=round(cutout.foreground, 4),
        # 0.2 ms a megapixel
        subject=subject_box(cutout.alpha) if job.output else None,
        source_etag=blob.etag,
        outputs=[job.output_key],
    )


def _patience(job: CutoutJob, runtime: Runtime) -> float:
    """Return how long an image waits for its turn. A single one does not: it goes first."""
    return 0 if job.output else TURN_SHARE * runtime.config.time_limit


def _marks(job: CutoutJob, runtime: Runtime, source_etag: str) -> dict[str, str]:
    """Return the metadata that says what an output was made of, and by which batch."""
    return {
        "source-etag": source_etag,
        "recipe": job.recipe.digest,
        "model-sha256": runtime.session.sha256,
        "batch": job.batch,
    }


def _judge(error: Exception, run: Run, runtime: Runtime) -> tuple[Outcome, str]:
    """Say what an error means for the image: the end, or a later try within its budget.

    Returns the outcome and the code of the error itself.
    """
    match error:
        case PermanentError():
            return _failed(run, error.code, error.message), error.code
        case RetryableError():
            reason: CutoutError = error
        case SoftTimeLimitExceeded():
            reason = RetryableError(
                ErrorCode.TIME_LIMIT, f"It took over {runtime.config.time_limit:g} s."
            )
        case MemoryError():
            reason = RetryableError(ErrorCode.OUT_OF_MEMORY, "The machine's memory ran out.")
        case _:
            log.error("unexpected error", exc_info=error)
            reason = RetryableError(ErrorCode.INTERNAL_ERROR, f"{type(error).__name__}.")
    config = runtime.config
    retries = max(0, run.attempt - 1)
    if retries < config.retry_budget:
        # full jitter, as AWS describes it: a random share of a doubling delay
        longest = min(config.retry_delay * 2**retries, config.visibility_timeout / 2)
        delay = random.uniform(0, longest)  # noqa: S311 - spreads load, guards nothing
        job, ledger = run.job, runtime.ledger
        insist(
            run.deadline,
            lambda: ledger.defer(job.batch, job.line, run.token, delay, reason.code),
        )
        raise DeferredError(str(reason)) from error
    code = (
        ErrorCode.INTERNAL_ERROR if reason.code is ErrorCode.INTERNAL_ERROR else ErrorCode.EXHAUSTED
    )
    message = f"{run.attempt} attempts ended in {reason.code}: {reason.message}"
    return _failed(run, code, message), reason.code


def _failed(run: Run, code: ErrorCode, message: str) -> Outcome:
    return _outcome(run, Status.FAILED, code=code, message=message)


def _outcome(run: Run, status: Status, **fields: object) -> Outcome:
    return Outcome.model_validate(
        {
            "line": run.job.line,
            "key": run.job.photograph.key,
            "status": status,
            "attempts": run.attempt,
            "milliseconds": run.milliseconds,
            **fields,
        }
    )
