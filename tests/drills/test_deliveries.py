"""Messages that are lost, repeated or late, and dispatchers that die while publishing."""

import random
import signal
import subprocess
import sys
import time

import pytest
from support.cluster import STAND_IN
from support.drill import Drill, queue
from support.services import until
from support.stand_in import mark

from contract import names
from contract.ledger.records import SCRIPT_LINES
from producer.dispatch.dispatcher import LEASE_SECONDS

SHORT = {"CUTOUT_VISIBILITY_TIMEOUT": "8", "CUTOUT_TIME_LIMIT": "6"}


def published(drill: Drill, spec) -> int:
    """Return how many messages were published, if none was lost: delivered, or in the broker."""
    progress, redis = drill.progress(spec), drill.cluster.ledger.connection.client
    waiting = redis.llen(names.bulk_queue(spec.recipe.model)) + redis.hlen("unacked")
    return progress.settled + progress.duplicates + waiting


def test_a_message_is_lost_by_the_broker(drill: Drill) -> None:
    drill.fill(30)
    spec = drill.submit()
    drill.cluster.env.update(SHORT)
    drill.cluster.start_dispatcher()
    redis = drill.cluster.ledger.connection.client
    until(lambda: redis.llen(queue()) == 30)
    for _ in range(3):
        redis.lpop(queue())  # like a worker that is killed before it notes what it popped
    lost = time.monotonic()
    drill.cluster.start_worker()
    drill.closed(spec)
    took = time.monotonic() - lost

    bound = float(SHORT["CUTOUT_VISIBILITY_TIMEOUT"]) + 15
    assert drill.passed(spec, "3 messages taken out of the queue", bound, took)["done"] == 30


@pytest.mark.long
def test_messages_merely_wait(drill: Drill) -> None:
    drill.fill(6)
    spec = drill.submit()
    drill.cluster.env.update(CUTOUT_VISIBILITY_TIMEOUT="2", CUTOUT_TIME_LIMIT="1.5")
    drill.cluster.start_dispatcher()
    redis = drill.cluster.ledger.connection.client
    until(lambda: redis.llen(queue()) == 6)
    time.sleep(5)  # no worker: all are overdue, and all are still queued
    assert redis.llen(queue()) == 6
    redis.rpop(queue())  # lost; noticed once the messages behind it are gone
    drill.cluster.start_worker()
    drill.closed(spec)

    counts = drill.audit(spec)
    assert counts["done"] == 6
    drill.row(spec, "no worker for longer than the timeout", 0, counts["duplicates"], "", counts)


def test_a_message_is_delivered_ten_times_to_two_workers(drill: Drill) -> None:
    drill.fill(20)
    for number in range(20):
        mark(drill.key_path(number), "slow:0.3")
    spec = drill.submit()
    drill.cluster.start_dispatcher()
    redis = drill.cluster.ledger.connection.client
    until(lambda: redis.llen(queue()) == 20)
    copies = redis.lrange(queue(), 0, -1)
    for copy in copies:
        redis.rpush(queue(), *[copy] * 9)  # next to each other, so that they run at once
    redis.lrem(queue(), 0, copies[0])
    redis.rpush(queue(), *[copies[0]] * 10)
    drill.cluster.start_worker(2, "one")
    drill.cluster.start_worker(2, "two")
    drill.closed(spec)

    def refused(*reasons: str) -> int:
        logs = drill.cluster.log("one") + drill.cluster.log("two")
        return sum(logs.count(f"reason={reason}") for reason in reasons)

    until(lambda: refused("held", "settled", "stopped") == 20 * 9)
    counts = drill.audit(spec)
    assert counts["done"] == 20
    # not those that came after the batch was closed, by which time nothing counts any more
    assert counts["duplicates"] == refused("held", "settled") > 20
    assert {row.attempts for row in drill.outcomes(spec).values()} == {1}
    drill.row(spec, "each message ten times, two workers", 180, counts["duplicates"], "", counts)


@pytest.mark.long
def test_a_dispatcher_dies_again_and_again(drill: Drill) -> None:
    """No gap, at most one chunk published twice per death, never more than a window outstanding."""
    kills, window = drill.size(5, 50), 400
    count = drill.size(1000, 20_000)
    drill.fill(count)
    spec = drill.submit()
    drill.cluster.env.update(SHORT, CUTOUT_WINDOW=str(window))
    drill.cluster.start_worker()
    seeded = random.Random(5)
    max_outstanding = 0
    redis = drill.cluster.ledger.connection.client
    for _ in range(kills):
        # the lease of a dead dispatcher blocks the next one for 15 s; the drill does not wait
        redis.delete(names.DISPATCHER_LEASE)
        drill.cluster.start_dispatcher()
        until(lambda: redis.exists(names.DISPATCHER_LEASE), pause=0.01)
        end = time.monotonic() + seeded.uniform(0, 0.6)
        while time.monotonic() < end:
            max_outstanding = max(max_outstanding, drill.progress(spec).issued)
        drill.cluster.kill("dispatcher")
    redis.delete(names.DISPATCHER_LEASE)
    drill.cluster.start_dispatcher()
    drill.closed(spec, 600)

    assert max_outstanding <= window
    twice = published(drill, spec) - count
    counts = drill.audit(spec)
    assert counts["done"] == count
    assert twice <= kills * SCRIPT_LINES
    outstanding = f"outstanding at most {max_outstanding} of {window}"
    injected = f"SIGKILL to the dispatcher, {kills} times; {outstanding}"
    bound = kills * SCRIPT_LINES
    drill.row(spec, injected, bound, twice, "published twice", counts)


@pytest.mark.long
def test_a_submit_dies_again_and_again(drill: Drill) -> None:
    """What an interrupted `submit` leaves is not processed, and does not disturb the next one."""
    drill.fill(300)
    command = [sys.executable, str(STAND_IN), "submit", str(drill.catalogue), str(drill.out)]
    seeded = random.Random(6)
    finished = 0
    for _ in range(drill.size(6, 50)):
        process = subprocess.Popen(
            command, env=drill.cluster.environment(), stdout=subprocess.DEVNULL
        )
        try:
            process.wait(seeded.uniform(0.2, 0.7))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        finished += process.returncode == 0
    redis = drill.cluster.ledger.connection.client
    known, whole = drill.cluster.ledger.batches.ids(), drill.cluster.ledger.batches.open_ids()
    assert len(whole) >= finished
    for batch in set(known) - set(whole):  # interrupted: it expires
        assert redis.ttl(names.redis_key(batch)) > 0
    spec = drill.submit()
    drill.cluster.start_dispatcher()
    drill.cluster.start_worker()
    for batch in whole:  # an announced batch is complete, even if its `submit` died
        opened = drill.cluster.ledger.batches.progress(batch).spec
        drill.closed(opened)
        counts = drill.audit(opened)
        assert counts["done"] + counts["skipped"] == 300  # another batch wrote some of its outputs
    drill.closed(spec)

    injected = f"SIGKILL to `submit`, {drill.size(6, 50) - finished} times"
    drill.passed(spec, injected, 0, sum(redis.ttl(names.redis_key(b)) < 0 for b in known), "left")


@pytest.mark.long
def test_two_dispatchers_at_once(drill: Drill) -> None:
    count = drill.size(450, 5000)
    drill.fill(count)
    spec = drill.submit()
    drill.cluster.env["CUTOUT_WINDOW"] = "100"
    drill.cluster.start_dispatcher("one")
    drill.cluster.start_dispatcher("two")
    drill.cluster.start_worker()
    drill.settled(spec, count // 3)
    # two working at once would publish twice as many
    assert published(drill, spec) <= count // 3 + 300
    redis = drill.cluster.ledger.connection.client
    holder, before = redis.get(names.DISPATCHER_LEASE), drill.progress(spec).settled
    drill.cluster.kill("one")
    killed = time.monotonic()
    until(lambda: drill.progress(spec).settled > before + 150, pause=0.02)
    took = time.monotonic() - killed
    drill.closed(spec)

    assert published(drill, spec) == count
    assert holder
    injected = "two dispatchers, SIGKILL to one"
    assert drill.passed(spec, injected, LEASE_SECONDS + 5, took)["done"] == count
