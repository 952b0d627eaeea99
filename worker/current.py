"""Which outputs of an image the destination holds already, and which of them are current."""

from contract.errors import ErrorCode
from contract.job import ImageJob
from contract.outcome import Status
from contract.recipe import MATTE
from contract.rendition import Rendition
from contract.storage import ObjectHead, open_store
from worker.attempt import Attempt
from worker.imaging.doubts import doubts_named
from worker.runtime import Runtime

CURRENT_METADATA = ("source-etag", "recipe", "model-sha256", "provider")
"""Metadata of an existing output that must match for the output to be current."""


def missing_renditions(
    job: ImageJob, attempt: Attempt, runtime: Runtime
) -> tuple[list[Rendition], Status]:
    """Return what the destination does not hold yet, and the image's status if that is nothing.

    Notes on the attempt what it does hold.
    """
    with attempt.stage("check"):
        found = [
            (rendition, _existing(job, rendition, attempt)) for rendition in job.recipe.outputs
        ]
        exists = any(heads for _, heads in found)
        attempt.source_etag = _source_etag(job) if exists else ""
    missing, status = [], Status.SKIPPED
    for rendition, heads in found:
        expected = output_metadata(job, rendition, attempt, runtime)
        head = next((each for each in heads if _is_current(each, expected)), None)
        made_by_this_batch = head is not None and head.metadata.get("batch") == job.batch
        if head is None or (job.force and not made_by_this_batch):
            missing.append(rendition)
            continue
        if made_by_this_batch:
            # written by an earlier attempt that died before it settled the line
            status = Status.DONE
        attempt.doubts = doubts_named(head.metadata.get("doubts", ""))
        review = head.metadata.get("review")
        attempt.add_output(rendition, review=ErrorCode(review) if review else None)
    return missing, status


def _existing(job: ImageJob, rendition: Rendition, attempt: Attempt) -> list[ObjectHead]:
    """Return the rendition's objects at the destination: delivered, and for review."""
    store, keys = open_store(job.destination), [job.output_key(rendition)]
    if job.recipe.policy.reviews and rendition != MATTE:
        keys.append(job.review_key(rendition))
    heads = {key: head for key in keys if (head := store.head(key))}
    attempt.output_etags |= {key: head.etag for key, head in heads.items()}
    return [*heads.values()]


def _is_current(head: ObjectHead, expected: dict[str, str]) -> bool:
    return all(head.metadata.get(name) == expected.get(name) for name in CURRENT_METADATA)


def _source_etag(job: ImageJob) -> str:
    """Return the photograph's ETag, which a manifest of a user's need not have."""
    if job.photograph.etag or job.source_is_url:
        return job.photograph.etag
    head = open_store(job.source).head(job.photograph.key)
    return head.etag if head else ""


def output_metadata(
    job: ImageJob,
    rendition: Rendition,
    attempt: Attempt,
    runtime: Runtime,
    review: ErrorCode | None = None,
) -> dict[str, str]:
    """Return an output's metadata: what it was made from, by which batch, and what is doubtful.

    `review`: why it goes to review; None: it is delivered.
    """
    notes = {
        "provider": runtime.session.provider,
        "doubts": " ".join(attempt.doubts),
        "review": review or "",
    }
    return {
        "source-etag": attempt.source_etag,
        "recipe": job.recipe.digest_of(rendition),
        "model-sha256": runtime.session.sha256,
        "batch": job.batch,
        **{name: text for name, text in notes.items() if text},
    }
