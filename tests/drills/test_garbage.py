"""What is no message, in the queues of a real worker."""

import os

from support.drill import Drill, queue
from support.messages import GARBAGE
from support.services import until

from contract import names

IDLE = "idle"


def push(drill: Drill, *texts: str | bytes) -> None:
    drill.cluster.ledger.connection.client.lpush(queue(), *texts)


def test_garbage_in_the_queue_is_dropped_counted_and_logged(drill: Drill) -> None:
    cluster = drill.cluster
    drill.fill(12)
    cluster.start_worker()
    until(lambda: cluster.titled(IDLE))
    push(drill, *GARBAGE.values())
    cluster.ledger.connection.client.lpush(names.interactive_queue("u2netp"), "garbage")
    spec = drill.submit()
    cluster.start_dispatcher()
    drill.closed(spec)
    count = len(GARBAGE) + 1
    until(lambda: cluster.ledger.workers.dropped_messages() >= count)

    assert cluster.ledger.workers.dropped_messages() == count
    assert cluster.log("worker").count("message dropped") == count
    counts = drill.passed(spec, f"{count} malformed messages", 0, 0, "restarts of the worker")
    assert counts["done"] == 12
    worker = cluster.processes.pop("worker")
    assert worker.poll() is None
    worker.terminate()
    assert worker.wait(60) == 0
    assert "Traceback" not in cluster.log("worker")


def test_a_worker_that_an_error_ends_says_so_by_its_status(drill: Drill) -> None:
    """A test of the one above: without the filter, garbage ends the worker."""
    drill.cluster.start_worker(DRILL_WITHOUT="message_filter")
    until(lambda: drill.cluster.titled(IDLE))
    push(drill, "garbage")
    assert drill.cluster.processes.pop("worker").wait(60) == os.EX_TEMPFAIL
