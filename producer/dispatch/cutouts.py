"""Single images: batches of one that somebody waits for, on a lane of their own.

The same ledger, the same worker and the same promise as for a catalogue. There is no manifest (the
photograph is in the spec) and no report (the outcome is kept beside the counters).
"""

import secrets
import time
from datetime import UTC, datetime

from contract import names
from contract.job import Single
from contract.ledger.batches import BatchSpec, Ledger, Progress
from contract.recipe import Recipe
from contract.settings import Settings
from producer.callbacks.schedule import Callbacks
from producer.dispatch.publisher import GRACE_SECONDS, job_of, publish

KEPT_SECONDS = 7 * 24 * 3600


def new_id() -> str:
    return f"c-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(6)}"


def submit(
    ledger: Ledger, identity: str, source: str, destination: str, recipe: Recipe, single: Single,
    config: Settings,
) -> BatchSpec:  # fmt: skip
    """Make one image known and announce it. Raises RetryableError (`redis_unavailable`).

    An announcement that fails is made up for by the dispatcher, once the line falls due.
    """
    spec = BatchSpec(
        id=identity, source=source, destination=destination, recipe=recipe, force=True,
        created=time.time(), total=1, segment_lines=1, single=single,
    )  # fmt: skip
    ledger.register(spec)
    ledger.open(spec.id)
    issue = ledger.issue(spec.id, 1, 1, config.visibility_timeout)
    queue = names.interactive_queue(recipe.model)
    publish(queue, [job_of(spec, line, single.photograph) for line in issue.bulk], issue.moment)
    return spec


def advance(ledger: Ledger, now: Progress, config: Settings) -> None:
    """Publish again what was lost or put back; close what is settled. The dispatcher's step."""
    spec, single = now.spec, now.spec.single
    if single is None or now.settled or now.state == "cancelling":
        _close(ledger, now)
        return
    # the server vanished after `open`
    fresh = ledger.issue(spec.id, 1, 1, config.visibility_timeout)
    model = spec.recipe.model
    queues = names.interactive_queue(model), names.quarantine_queue(model)
    first, quarantine = (ledger.oldest_waiting(queue) for queue in queues)
    again = ledger.reissue(
        spec.id, 1, config.visibility_timeout, GRACE_SECONDS, (first, quarantine)
    )
    for queue, lines, moment in (
        (queues[0], fresh.bulk, fresh.moment),
        (queues[0], again.bulk, again.moment),
        (queues[1], again.quarantine, again.moment),
    ):
        publish(queue, [job_of(spec, line, single.photograph) for line in lines], moment)


def _close(ledger: Ledger, now: Progress) -> None:
    spec, single = now.spec, now.spec.single
    if outcome := ledger.outcome(spec.id):
        ledger.keep_outcome(spec.id, outcome)
        if single and single.callback:
            Callbacks(ledger.connection).schedule(spec.id, 0)
    ledger.close(spec.id, unfinished=True, kept=KEPT_SECONDS)
