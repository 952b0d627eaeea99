from contract.ledger.records import Worker
from producer.dispatch.fleet import FleetView
from producer.dispatch.window import Fleet

QUEUE, OTHER = "bulk.a", "bulk.b"
LIMIT = 1_000_000


def worker(name: str, queue: str, children: int) -> Worker:
    return Worker(name=name, queue=queue, children=children, clock_skew=0)


def test_each_queue_has_its_own_workers_and_speed() -> None:
    fleet = FleetView()
    workers = [worker("1", QUEUE, 8), worker("2", QUEUE, 4), worker("3", OTHER, 2)]
    fleet.update(workers, 0)
    fleet.observe("x", QUEUE, 100, unissued=True)
    fleet.observe("y", OTHER, 7, unissued=True)
    fleet.update(workers, 0)
    fleet.observe("x", QUEUE, 150, unissued=True)
    fleet.observe("y", OTHER, 3, unissued=True)  # a retry reopened lines
    fleet.observe("z", QUEUE, 1000, unissued=True)  # settled before this dispatcher saw it
    fleet.update(workers, 2)
    assert fleet.of(QUEUE) == Fleet(2, 12, 25)
    assert fleet.of(OTHER) == Fleet(1, 2, 0)
    assert fleet.serves(QUEUE)
    fleet.update(workers[2:], 2)
    assert not fleet.serves(QUEUE)


def test_batches_with_lines_to_issue_share_the_window() -> None:
    fleet = FleetView()
    fleet.update([worker("1", QUEUE, 1000)], 0)
    for batch in "xyz":
        fleet.observe(batch, QUEUE, 0, unissued=True)
    fleet.observe("other", OTHER, 0, unissued=True)
    third = fleet.window(QUEUE, LIMIT)
    fleet.observe("z", QUEUE, 0, unissued=False)
    half = fleet.window(QUEUE, LIMIT)
    fleet.forget("y", QUEUE)
    whole = fleet.window(QUEUE, LIMIT)
    assert (whole // 3, whole // 2) == (third, half)
