"""One image, from its claim to its terminal state. Read this first."""

import secrets
from collections.abc import Sequence

from PIL import Image

from contract.errors import ErrorCode, PermanentError
from contract.job import ImageJob
from contract.ledger import Claim, ClaimRefused
from contract.ledger.records import RESULT_OK
from contract.outcome import Outcome, Status
from contract.recipe import MATTE
from contract.rendition import Rendition
from contract.storage import open_store
from worker.attempt import Attempt, note_attempt
from worker.current import missing_renditions, output_metadata
from worker.encoding import EncodedFile, encode_all
from worker.failure import fail_or_defer
from worker.fetch import fetch, fetch_backdrop, naming_backdrop
from worker.foreign import ForeignJob, release_mismatch
from worker.imaging.cutout import compose
from worker.imaging.decode import Photograph, decode
from worker.imaging.doubts import review_reason
from worker.imaging.matting import Matte
from worker.imaging.ready import ready_matte
from worker.imaging.subject import subject_box
from worker.kept_matte import decode_matte, fetch_matte
from worker.retry import deadline_in, retry_until
from worker.runtime import Runtime
from worker.store import ClaimLostError, ClaimTimer, store_output

MAX_CRASHES = 3
"""An image whose process died this often (segmentation fault, OOM kill) is never run again."""

SLOT_WAIT_SHARE = 1 / 40
"""Share of the time limit that an image waits for a CPU slot; then it computes without one."""


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
    note_attempt(claim.attempt)
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
    missing, status = missing_renditions(job, attempt, runtime)
    if missing:
        return _cut_out(job, missing, attempt, runtime)
    return attempt.outcome(status)


def _refuse_poisoned(claim: Claim, attempt: Attempt) -> None:
    if claim.crash_count >= MAX_CRASHES:
        attempt.number -= 1  # this one does not run: it only reports how the others ended
        causes = claim.crash_causes or "no worker was left to report the causes"
        raise PermanentError(
            ErrorCode.POISONED, f"The image crashed {claim.crash_count} processes: {causes}."
        )


def _cut_out(
    job: ImageJob, missing: Sequence[Rendition], attempt: Attempt, runtime: Runtime
) -> Outcome:
    """Make what is missing: of one photograph, decoded once, with one matte."""
    quality = job.recipe.quality
    with attempt.stage("fetch"):
        blob = fetch(job, runtime.config)
        backdrop = fetch_backdrop(job, runtime.config)
        kept = fetch_matte(job, attempt)
        attempt.usage.bytes_read = sum(len(data or b"") for data in (blob.data, backdrop, kept))
    if blob.etag != attempt.source_etag and attempt.outputs:
        # the photograph was replaced after the check: no output is current any more
        attempt.outputs.clear()
        missing, kept, attempt.doubts = job.recipe.outputs, None, ()
    attempt.source_etag = blob.etag
    try:
        with attempt.stage("wait"):
            runtime.cpu_slots.acquire(_slot_wait_seconds(job, runtime))
        with attempt.stage("decode"):
            keep_profile = job.recipe.keeps_profile
            photograph = decode(blob.data, runtime.limits, keep_profile=keep_profile)
        with attempt.stage("matte"):
            matte = decode_matte(kept, photograph.size, attempt.doubts)
            if matte is None:
                matte = _ready(photograph, job) or runtime.session.matte(
                    photograph.shown(), quality
                )
                missing = _with_matte(missing, job, attempt)
            attempt.doubts = matte.doubts
            attempt.review = review_reason(matte.doubts, job.recipe.policy)
        # pixels are pulled strip by strip by the encoder, so this stage includes composing
        with attempt.stage("encode"):
            cutout = compose(photograph, matte.alpha, decontaminate=quality.decontaminate)
            behind = _decoded_backdrop(backdrop, runtime)
            files = encode_all(cutout, missing, behind, attempt)
    finally:
        runtime.cpu_slots.release()
    with attempt.stage("store"):
        for file in files:
            attempt.claim_timer.check()
            with attempt.failing_alone(file.rendition):
                _store(file, job, attempt, runtime)
    attempt.raise_failure()
    return attempt.outcome(
        Status.DONE,
        matte_from="" if matte.source == "network" else matte.source,
        foreground=round(files[0].cutout.foreground, 4),
        # 0.2 ms per megapixel
        subject=subject_box(files[0].cutout.alpha) if job.interactive else None,
    )


def _store(file: EncodedFile, job: ImageJob, attempt: Attempt, runtime: Runtime) -> None:
    """Write an output where it is delivered, or for review. Raises as `store_output`."""
    rendition, review = file.rendition, file.review
    key = attempt.output_key(rendition, review)
    metadata = output_metadata(job, rendition, attempt, runtime, review)
    etag = attempt.output_etags.get(key, "")
    store_output(job, key, rendition.content_type, file.data, metadata, etag)
    attempt.add_output(rendition, file.size, len(file.data), review)


def _ready(photograph: Photograph, job: ImageJob) -> Matte | None:
    """Return the matte of a photograph that the recipe only frames, if it is such a one."""
    if not job.recipe.reframe:
        return None
    return ready_matte(photograph, on_white=job.recipe.is_on_white and job.backdrop is None)


def _with_matte(
    missing: Sequence[Rendition], job: ImageJob, attempt: Attempt
) -> Sequence[Rendition]:
    """Return what is to be written with a new matte: any kept one is of no use."""
    if not job.recipe.keep_matte or MATTE in missing:
        return missing
    attempt.outputs.pop(MATTE.name, None)
    return [*missing, MATTE]


def _decoded_backdrop(data: bytes | None, runtime: Runtime) -> Image.Image | None:
    """Return an image behind the subject as RGB, white where it is transparent."""
    if data is None:
        return None
    with naming_backdrop():
        return decode(data, runtime.limits).shown()


def _slot_wait_seconds(job: ImageJob, runtime: Runtime) -> float:
    """Return the longest wait for a CPU slot. Interactive images do not wait."""
    return 0 if job.interactive else SLOT_WAIT_SHARE * runtime.config.time_limit


def _delete_orphan(job: ImageJob | ForeignJob, runtime: Runtime) -> None:
    """Delete the outputs of a cutout that was deleted while it was being processed.

    Those of one that Redis has lost stay: they are found once the cutout is restored.
    """
    if isinstance(job, ForeignJob) or not job.has_private_outputs:
        return
    if runtime.ledger.batches.was_deleted(job.batch):
        for rendition in job.recipe.outputs:
            open_store(job.destination).delete(job.output_key(rendition))
