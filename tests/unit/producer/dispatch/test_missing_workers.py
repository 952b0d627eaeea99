from dataclasses import replace
from datetime import UTC, datetime

import pytest

from contract import names
from contract.batch import BatchSpec, Progress
from contract.ledger.records import Worker
from contract.recipe import PIPELINE, Recipe
from contract.schedule import Schedule
from producer.dispatch.fleet import FleetView
from producer.dispatch.missing_workers import (
    NO_QUARANTINE,
    OTHER_RELEASE,
    WORKER_START_SECONDS,
    is_about_workers,
    missing_workers,
)

MODEL = "u2netp"
NEXT = PIPELINE + 1
PROGRESS = Progress(
    spec=BatchSpec(
        id="b-20260101-000000-aaaaaa", source="file:///in", destination="file:///out",
        recipe=Recipe(model=MODEL, pipeline=NEXT), created=1000, total=9, segment_lines=9,
    ),
    state="open", done=0, skipped=0, failed=0, issued=3, quarantined=0, claimed=0, deferred=0,
    duplicates=0, epoch=0, closed=None, stalled_reason="", retry_at=None, eta=None,
)  # fmt: skip
LATER = 1000 + WORKER_START_SECONDS + 1


def fleet(*queues: str) -> FleetView:
    view = FleetView()
    workers = [Worker(name=queue, queue=queue, children=1, clock_skew=0) for queue in queues]
    view.update(workers, 0)
    return view


@pytest.mark.parametrize(
    ("queues", "reason"),
    [
        ([names.bulk_queue(MODEL, NEXT)], ""),
        ([names.bulk_queue(MODEL, PIPELINE), names.bulk_queue(MODEL, NEXT)], ""),
        (
            [names.bulk_queue(MODEL, PIPELINE), names.bulk_queue(MODEL, 12)],
            f"No worker serves {MODEL} (pipeline {NEXT})"
            + OTHER_RELEASE.format(others=f"{PIPELINE}, 12"),
        ),
        (
            [names.bulk_queue("u2netp-int8", NEXT), names.interactive_queue(MODEL, NEXT)],
            f"No worker serves {MODEL} (pipeline {NEXT}): `CUTOUT_MODEL={MODEL} cutout worker`.",
        ),
    ],
)
def test_a_batch_waits_for_workers_of_its_own_release(queues: list[str], reason: str) -> None:
    assert missing_workers(PROGRESS, fleet(*queues), LATER) == reason
    assert is_about_workers(reason)


def test_workers_that_may_be_starting_are_not_missed() -> None:
    assert missing_workers(PROGRESS, fleet(), LATER - 2) == ""
    start = datetime.fromtimestamp(LATER, UTC)
    spec = PROGRESS.spec.model_copy(update={"schedule": Schedule(not_before=start)})
    assert missing_workers(replace(PROGRESS, spec=spec), fleet(), LATER + 1) == ""


def test_quarantined_images_wait_for_the_quarantine_worker_of_their_release() -> None:
    waiting = replace(PROGRESS, quarantined=1)
    bulk = names.bulk_queue(MODEL, NEXT)
    other = names.quarantine_queue(MODEL, PIPELINE)
    assert missing_workers(waiting, fleet(bulk, other), LATER) == NO_QUARANTINE
    both = fleet(bulk, names.quarantine_queue(MODEL, NEXT))
    assert missing_workers(waiting, both, LATER) == ""


@pytest.mark.parametrize("reason", ["ValidationError", "The storage is down.", "Paused by you."])
def test_other_reasons_are_left_alone(reason: str) -> None:
    assert not is_about_workers(reason)
