"""Cutouts: batches of one image, on the interactive queue.

They use the same ledger and worker as a catalogue, under the same promise. A cutout has no manifest
(its photograph is part of the spec) and no report (its outcome is stored beside its counters).
"""

import secrets
import time
from datetime import UTC, datetime

from contract import names
from contract.batch import BatchSpec, Snapshot
from contract.cutout import CutoutSpec
from contract.ledger import Ledger
from contract.recipe import Recipe
from contract.settings import Settings
from producer.callbacks.schedule import CallbackSchedule
from producer.dispatch.publisher import CLAIM_GRACE_SECONDS, publish_issued

KEPT_SECONDS = 7 * 24 * 3600
"""How long a finished cutout can be read."""


def new_cutout_id() -> str:
    return f"{names.CUTOUT_ID_PREFIX}{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(6)}"


def cutout_spec(
    cutout_id: str, source: str, destination: str, recipe: Recipe, cutout: CutoutSpec
) -> BatchSpec:
    """Return the spec of a new cutout."""
    return BatchSpec(
        id=cutout_id, source=source, destination=destination, recipe=recipe, force=True,
        created=time.time(), total=1, segment_lines=1, cutout=cutout,
    )  # fmt: skip


def submit(ledger: Ledger, spec: BatchSpec, cutout: CutoutSpec, config: Settings) -> None:
    """Register a cutout and publish its job. Raises RetryableError (`redis_unavailable`).

    If publishing fails, the dispatcher publishes it again once the line is overdue.
    """
    ledger.cutouts.register(spec)
    issued = ledger.lines.issue(spec.id, 1, 1, config.visibility_timeout)
    publish_issued(spec, issued, lambda _: cutout.photograph)


def advance(
    ledger: Ledger, callbacks: CallbackSchedule, snapshot: Snapshot, config: Settings
) -> None:
    """Publish a cutout again if its message was lost; close it once it is settled."""
    progress = snapshot.progress
    spec, cutout = progress.spec, progress.spec.cutout
    if cutout is None or progress.settled or progress.state == "cancelling":
        _close(ledger, callbacks, spec)
        return
    timeout = config.visibility_timeout
    if not snapshot.all_issued:  # the server died between opening and issuing it
        issued = ledger.lines.issue(spec.id, 1, 1, timeout)
        publish_issued(spec, issued, lambda _: cutout.photograph)
    if snapshot.something_due:
        issued = ledger.lines.reissue(
            spec.id, 1, timeout, CLAIM_GRACE_SECONDS, snapshot.oldest_queued
        )
        publish_issued(spec, issued, lambda _: cutout.photograph)


def _close(ledger: Ledger, callbacks: CallbackSchedule, spec: BatchSpec) -> None:
    # the callback first: a cutout that is closed is looked at no more
    if spec.cutout and spec.cutout.has_callback and ledger.cutouts.outcome(spec.id):
        callbacks.schedule(spec.id, 0)
    ledger.cutouts.close(spec.id, KEPT_SECONDS)
