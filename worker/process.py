"""One image, from its claim to its terminal state. Read this first."""

import secrets

from PIL import Image

from contract.errors import ErrorCode, PermanentError
from contract.job import ImageJob
from contract.ledger import Claim, ClaimRefused
from contract.ledger.records import RESULT_OK
from contract.outcome import Outcome, Status
from contract.storage import open_store
from worker.attempt import Attempt
from worker.failure import fail_or_defer
from worker.fetch import fetch, fetch_backdrop, naming_backdrop
from worker.foreign import ForeignJob, release_mismatch
from worker.imaging.cutout import compose
from worker.imaging.decode import decode
from worker.imaging.encode import encode
from worker.imaging.render import render
from worker.imaging.subject import clear_outside, subject_box
from worker.retry import deadline_in, retry_until
from worker.runtime import Runtime
from worker.store import ClaimLostError, ClaimTimer, store_output

MAX_CRASHES = 3
"""An image whose process died this often (segmentation fault, OOM kill) is never run again."""

SLOT_WAIT_SHARE = 1 / 40
"""Share of the time limit that an image waits for a CPU slot; then it computes without one."""

CURRENT_METADATA = ("source-etag", "recipe", "model-sha256")
"""Metadata of an existing output that must match for the output to be current."""


def process(job: ImageJob | ForeignJob, runtime: Runtime) -> Outcome | ClaimRefused:
    """Bring an image to its terminal state and return its outcome, or why there is nothing to do.

    Safe to repeat at any point: the output is written before the line is settled, and a repeated
    attempt finds it. Raises DeferredError if the image will be retried, RetryableError
    (`redis_unavailable`) if the ledger cannot be reached.
    """
    deadline = deadline_in(runtime.config.time_limit)
    token = runtime.token_prefix + secrets.token_hex(4)
    claim_timer = _claim_timer(job, token, deadline, runtime)
    claim = retry_until(deadline, lambda: _claim(job, token, runtime))
    if isinstance(claim, ClaimRefused):
        return claim
    attempt = Attempt(job, claim.attempt, token, runtime.worker, deadline, claim_timer)
    try:
        outcome, result = _run(claim, attempt, runtime)
    except ClaimLostError:
        return ClaimRefused("held")
    lines = runtime.ledger.lines
    settled = retry_until(deadline, lambda: lines.finish(job.batch, outcome, result))
    if not settled:
        _delete_orphan(job, runtime)
        return ClaimRefused("settled")
    return outcome


def _claim(job: ImageJob | ForeignJob, token: str, runtime: Runtime) -> Claim | ClaimRefused:
    lease = runtime.config.visibility_timeout
    return runtime.ledger.lines.claim(
        job.batch, job.line, token, lease, quarantine=runtime.quarantine
    )


def _claim_timer(
    job: ImageJob | ForeignJob, token: str, deadline: float, runtime: Runtime
) -> ClaimTimer:
    lease, lines = runtime.config.visibility_timeout, runtime.ledger.lines

    def renew() -> bool:
        return retry_until(deadline, lambda: lines.renew(job.batch, job.line, token, lease))

    return ClaimTimer(lease, renew)


def _run(claim: Claim, attempt: Attempt, runtime: Runtime) -> tuple[Outcome, str]:
    """Return the outcome and the result for the circuit breaker.

    Raises DeferredError, or ClaimLostError: the outcome of an attempt that lost its claim does not
    count.
    """
    try:
        return _work(claim, attempt, runtime), RESULT_OK
    except ClaimLostError:
        raise
    except Exception as error:
        failure = fail_or_defer(error, attempt, runtime)
        attempt.claim_timer.check()
        return failure


def _work(claim: Claim, attempt: Attempt, runtime: Runtime) -> Outcome:
    """Return the outcome of an attempt that succeeds. Raises what any part of it raises."""
    job = attempt.job
    if isinstance(job, ForeignJob):
        raise release_mismatch(runtime.config.model)
    _refuse_poisoned(claim, attempt)
    return _skip_if_current(job, attempt, runtime) or _cut_out(job, attempt, runtime)


def _refuse_poisoned(claim: Claim, attempt: Attempt) -> None:
    if claim.crash_count >= MAX_CRASHES:
        attempt.number -= 1  # this one does not run: it only reports how the others ended
        causes = claim.crash_causes or "no worker was left to report the causes"
        raise PermanentError(
            ErrorCode.POISONED, f"The image crashed {claim.crash_count} processes: {causes}."
        )


def _skip_if_current(job: ImageJob, attempt: Attempt, runtime: Runtime) -> Outcome | None:
    """Return an outcome if the destination already holds what this job would write."""
    with attempt.stage("check"):
        head = open_store(job.destination).head(job.output_key)
        etag = _source_etag(job) if head else ""
    attempt.output_etag = head.etag if head else ""
    expected = _metadata(job, runtime, etag)
    if head is None or any(head.metadata.get(name) != expected[name] for name in CURRENT_METADATA):
        return None
    if head.metadata.get("batch") == job.batch:
        # written by an earlier attempt that died before it settled the line
        status = Status.DONE
    elif job.force:
        return None
    else:
        status = Status.SKIPPED
    source_etag = "" if etag == job.photograph.etag else etag
    return attempt.outcome(status, source_etag=source_etag, outputs=[job.output_key])


def _source_etag(job: ImageJob) -> str:
    """Return the photograph's ETag, which a manifest of a user's need not have."""
    if job.photograph.etag or job.source_is_url:
        return job.photograph.etag
    head = open_store(job.source).head(job.photograph.key)
    return head.etag if head else ""


def _cut_out(job: ImageJob, attempt: Attempt, runtime: Runtime) -> Outcome:
    rendition, quality = job.recipe.rendition, job.recipe.quality
    with attempt.stage("fetch"):
        blob = fetch(job, runtime.config)
        backdrop = fetch_backdrop(job, runtime.config)
        attempt.usage.bytes_read = len(blob.data) + len(backdrop or b"")
    try:
        with attempt.stage("wait"):
            runtime.cpu_slots.acquire(_slot_wait_seconds(job, runtime))
        with attempt.stage("decode"):
            photograph = decode(blob.data, runtime.limits, keep_profile=rendition.colour == "keep")
        with attempt.stage("matte"):
            matte = runtime.session.matte(photograph.shown(), quality)
        # pixels are pulled strip by strip by the encoder, so this stage includes composing
        with attempt.stage("encode"):
            cutout = compose(photograph, matte, decontaminate=quality.decontaminate)
            cutout = clear_outside(cutout, rendition.roi)
            picture = render(cutout, rendition)
            data = encode(picture, rendition, _decoded_backdrop(backdrop, runtime))
    finally:
        runtime.cpu_slots.release()
    with attempt.stage("store"):
        attempt.claim_timer.check()
        store_output(job, data, _metadata(job, runtime, blob.etag), attempt.output_etag)
    attempt.usage.bytes_written = len(data)
    width, height = picture.size
    return attempt.outcome(
        Status.DONE,
        width=width,
        height=height,
        foreground=round(cutout.foreground, 4),
        # 0.2 ms per megapixel
        subject=subject_box(cutout.alpha) if job.interactive else None,
        source_etag="" if blob.etag == job.photograph.etag else blob.etag,
        outputs=[job.output_key],
    )


def _decoded_backdrop(data: bytes | None, runtime: Runtime) -> Image.Image | None:
    """Return an image behind the subject as RGB, white where it is transparent."""
    if data is None:
        return None
    with naming_backdrop():
        return decode(data, runtime.limits).shown()


def _slot_wait_seconds(job: ImageJob, runtime: Runtime) -> float:
    """Return the longest wait for a CPU slot. Interactive images do not wait."""
    return 0 if job.interactive else SLOT_WAIT_SHARE * runtime.config.time_limit


def _metadata(job: ImageJob, runtime: Runtime, source_etag: str) -> dict[str, str]:
    """Return the output's metadata: what it was made from, and by which batch."""
    return {
        "source-etag": source_etag,
        "recipe": job.recipe.digest,
        "model-sha256": runtime.session.sha256,
        "batch": job.batch,
    }


def _delete_orphan(job: ImageJob | ForeignJob, runtime: Runtime) -> None:
    """Delete the output of a cutout that was deleted while it was being processed.

    The output of one that Redis has lost stays: it is found once the cutout is restored.
    """
    if isinstance(job, ForeignJob) or not job.has_private_output:
        return
    if runtime.ledger.batches.was_deleted(job.batch):
        open_store(job.destination).delete(job.output_key)
