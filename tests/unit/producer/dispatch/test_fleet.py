from contract.ledger.records import Worker
from producer.dispatch.fleet import FleetView
from producer.dispatch.window import Fleet

QUEUE, OTHER = "bulk.a", "bulk.b"


def worker(name: str, queue: str, children: int) -> Worker:
    return Worker(name=name, queue=queue, children=children, clock_skew=0)


def test_each_queue_has_its_own_workers_and_speed() -> None:
    fleet = FleetView()
    workers = [worker("1", QUEUE, 8), worker("2", QUEUE, 4), worker("3", OTHER, 2)]
    fleet.update(workers, 0)
    fleet.observe("x", QUEUE, 100)
    fleet.observe("y", OTHER, 7)
    fleet.update(workers, 0)
    fleet.observe("x", QUEUE, 150)
    fleet.observe("y", OTHER, 3)  # a retry reopened lines
    fleet.observe("z", QUEUE, 1000)  # settled before this dispatcher saw it
    fleet.update(workers, 2)
    assert fleet.of(QUEUE) == Fleet(2, 12, 25)
    assert fleet.of(OTHER) == Fleet(1, 2, 0)
    assert fleet.serves(QUEUE)
    fleet.update(workers[2:], 2)
    assert not fleet.serves(QUEUE)
