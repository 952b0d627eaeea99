"""Processes that are frozen for longer than their lease, and then go on."""

import os
import signal
import time

from support.drill import Drill
from support.services import until
from support.stand_in import mark

from contract import names
from contract.storage import open_store
from producer.dispatch.dispatcher import LEASE_SECONDS

TIMES = {"CUTOUT_VISIBILITY_TIMEOUT": "6", "CUTOUT_TIME_LIMIT": "4"}


def freeze(drill: Drill, name: str) -> int:
    """Stop a process and its children, as a suspended machine does; return their group."""
    group = drill.cluster.processes[name].pid
    os.killpg(group, signal.SIGSTOP)
    return group


def test_a_worker_is_frozen_while_another_batch_renews_the_output(drill: Drill) -> None:
    drill.fill(1)
    plain = drill.key_path(0).read_bytes()
    mark(drill.key_path(0), "slow:1")
    spec = drill.submit()
    drill.cluster.env.update(TIMES)
    drill.cluster.start_dispatcher()
    drill.cluster.start_worker(1, "frozen")
    until(lambda: drill.cluster.child_at(drill.key(0), "frozen"), pause=0.02)
    time.sleep(0.3)  # it has read the photograph
    group = freeze(drill, "frozen")
    drill.key_path(0).write_bytes(plain)
    drill.cluster.start_worker(1)
    drill.closed(spec)
    newer = drill.submit(force=True)
    drill.closed(newer)
    store, key = open_store(newer.destination), drill.outcomes(newer)[drill.key(0)].outputs[0]
    written = store.head(key)
    assert written is not None
    assert written.metadata["batch"] == newer.id

    os.killpg(group, signal.SIGCONT)
    until(lambda: drill.cluster.titled("idle", "frozen"))
    until(drill.quiet)
    overwritten = store.head(key) != written
    assert drill.passed(newer, "SIGSTOP to a worker for longer than its lease", 0, overwritten, "")
    assert (drill.progress(spec).done, drill.progress(newer).done) == (1, 1)


def test_a_dispatcher_is_frozen_for_longer_than_its_lease(drill: Drill) -> None:
    count = drill.size(200, 3000)
    drill.fill(count)
    spec = drill.submit()
    drill.cluster.env.update(CUTOUT_WINDOW="50")
    drill.cluster.start_dispatcher("frozen")
    drill.cluster.start_dispatcher("other")
    drill.cluster.start_worker()
    drill.settled(spec, count // 4)
    redis, name = drill.cluster.ledger.connection.client, "frozen"
    if "standing by" in drill.cluster.log("frozen"):
        name = "other"
    group = freeze(drill, name)
    until(lambda: not redis.exists(names.DISPATCHER_LEASE), LEASE_SECONDS + 5, pause=0.01)
    drill.settled(spec, count // 2)
    os.killpg(group, signal.SIGCONT)
    drill.closed(spec)
    until(lambda: drill.cluster.log(name).count("standing by"), 30)
    counts = drill.passed(spec, "SIGSTOP to the active dispatcher, past its lease", 0, 0, "")
    assert counts["done"] == count
