"""Why an open batch starts no images, or fewer than the workers could take: its stalled reason."""

from typing import Literal

from contract.batch import Progress, State
from contract.ledger import Ledger
from contract.schedule import utc_text
from producer.dispatch.allocation import Allocation
from producer.dispatch.breaker import is_trip
from producer.dispatch.fleet import FleetView
from producer.dispatch.missing_workers import is_about_workers, missing_workers

STARTS_AT = "Starts at {time}, as its schedule says."
OUTRANKED = (
    "Waits for batches of a higher priority. `cutout schedule ID --priority N` changes its own."
)
THROTTLED = "The storage refuses too many requests, so fewer images are processed at a time."
BEING_PROCESSED = (
    "Waits for the images that are being processed or, if their worker has vanished, for the end of"
    " its lease: at most {seconds:g} s."
)
OLDER_RELEASE = (
    "The active dispatcher cannot read this batch. If it is of an older release, stop it, so that"
    " one of the newer release takes over; else files of the batch are damaged, as its log says."
)
PREFIXES = (STARTS_AT.partition("{")[0], OUTRANKED, THROTTLED)


Kind = Literal["breaker", "paused", "workers", "scheduled", "outranked", "throttled", "other"]


def kind_of(state: State, reason: str) -> Kind:
    """Return what kind of reason a batch has, as one word. `reason`: not empty."""
    if is_trip(reason):
        return "breaker"
    if state == "paused":
        return "paused"
    if is_about_workers(reason):
        return "workers"
    kinds: dict[str, Kind] = {
        PREFIXES[0]: "scheduled", OUTRANKED: "outranked", THROTTLED: "throttled",
    }  # fmt: skip
    return next((kind for text, kind in kinds.items() if reason.startswith(text)), "other")


def report(
    ledger: Ledger, progress: Progress, fleet: FleetView, allocation: Allocation, now: float
) -> None:
    """Set or clear the stalled reason of an open batch. `now`: Unix seconds.

    A reason that something else has set is left alone.
    """
    current = progress.stalled_reason
    reason = _reason(progress, fleet, allocation, now)
    if reason != current and (is_about_workers(current) or current.startswith(PREFIXES)):
        ledger.batches.set_stalled_reason(progress.spec.id, reason)


def report_cancelling(ledger: Ledger, progress: Progress, lease: float) -> None:
    """Set or clear the stalled reason of a batch that is being cancelled.

    `lease`: seconds for which a worker claims an image.
    """
    reason = BEING_PROCESSED.format(seconds=lease) if progress.claimed else ""
    if reason != progress.stalled_reason:
        ledger.batches.set_stalled_reason(progress.spec.id, reason)


def _reason(progress: Progress, fleet: FleetView, allocation: Allocation, now: float) -> str:
    spec = progress.spec
    if now < spec.schedule.start:
        return STARTS_AT.format(time=utc_text(spec.schedule.start))
    if missing := missing_workers(progress, fleet, now):
        return missing
    if progress.active == 0 and allocation.is_outranked(spec.id):
        return OUTRANKED
    return THROTTLED if allocation.throttle(spec.id) is not None else ""
