"""Redis fails: it dies, freezes, fills up, refuses writes, falls silent, loses its data."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.drill import Drill
from support.faults import TcpProxy
from support.services import until
from support.stand_in import mark

from contract.batch import BatchSpec
from contract.storage import open_store, outcome_files

WORKERS = "left", "right"
CHILDREN = 2
BOUND = 35
"""Seconds from the recovery of Redis until every worker settles images again."""
CLAIMED = 2 * CHILDREN
"""Images that a worker may settle without a new message: it claimed them before the failure."""


@pytest.fixture
def load(drill: Drill) -> BatchSpec:
    """A cluster in the middle of a slow batch."""
    return begin(drill)


def shorten_timeouts(drill: Drill) -> None:
    """Set the timeouts of the short form, which all processes must share."""
    if not drill.full:
        drill.cluster.env.update(CUTOUT_VISIBILITY_TIMEOUT="12", CUTOUT_TIME_LIMIT="8")


def begin(drill: Drill) -> BatchSpec:
    count = drill.size(140, 900)
    drill.fill(count)
    for number in range(count):
        mark(drill.key_path(number), "slow:0.2")
    spec = drill.submit()
    shorten_timeouts(drill)
    # much of the batch is still to be published when Redis goes away
    drill.cluster.start_dispatcher(CUTOUT_WINDOW="50")
    for name in WORKERS:
        drill.cluster.start_worker(CHILDREN, name)
    until(lambda: all(images(drill, name) >= CLAIMED for name in WORKERS), pause=0.05)
    return spec


def images(drill: Drill, worker: str) -> int:
    return drill.cluster.log(worker).count("image settled")


def works_again(drill: Drill) -> float:
    """Wait until every worker has settled more than it had claimed; return the seconds."""
    well = time.monotonic()
    before = {name: images(drill, name) for name in WORKERS}
    until(
        lambda: all(images(drill, name) > before[name] + CLAIMED for name in WORKERS),
        120,
        pause=0.05,
    )
    return time.monotonic() - well


@contextmanager
def unharmed(drill: Drill) -> Iterator[None]:
    """Check that no process ends or is replaced, and that no traceback is logged."""
    children = {name: set(drill.cluster.children(name)) for name in WORKERS}
    yield
    for name, process in drill.cluster.processes.items():
        assert process.poll() is None, name
        assert "Traceback" not in drill.cluster.log(name), name
    assert children == {name: set(drill.cluster.children(name)) for name in WORKERS}


def ends_well(drill: Drill, spec: BatchSpec, injected: str, took: float) -> None:
    drill.closed(spec)
    counts = drill.passed(spec, injected, BOUND, took)
    assert counts["done"] == spec.total


def away(drill: Drill, seconds: float) -> None:
    drill.cluster.redis.stop(signal.SIGKILL)
    time.sleep(seconds)
    drill.cluster.redis.start()


@pytest.mark.long
def test_redis_is_killed_and_restarted(drill: Drill, load: BatchSpec) -> None:
    with unharmed(drill):
        away(drill, 0)
        took = works_again(drill)
        ends_well(drill, load, "SIGKILL to redis-server, restarted at once", took)


def test_redis_is_away_for_a_moment(drill: Drill, load: BatchSpec) -> None:
    seconds = drill.size(3, 10)
    with unharmed(drill):
        away(drill, seconds)
        took = works_again(drill)
        ends_well(drill, load, f"Redis away for {seconds} s", took)


@pytest.mark.long
def test_redis_is_away_for_long(drill: Drill, load: BatchSpec) -> None:
    seconds = drill.size(6, 120)
    with unharmed(drill):
        away(drill, seconds)
        took = works_again(drill)
        ends_well(drill, load, f"Redis away for {seconds} s", took)


def test_redis_freezes(drill: Drill, load: BatchSpec) -> None:
    seconds = drill.size(6, 60)
    server = drill.cluster.redis.process
    with unharmed(drill):
        server.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        server.send_signal(signal.SIGCONT)
        took = works_again(drill)
        ends_well(drill, load, f"SIGSTOP to redis-server for {seconds} s", took)


def test_redis_is_full(drill: Drill, load: BatchSpec) -> None:
    seconds = drill.size(4, 20)
    redis = drill.cluster.ledger.connection.client
    with unharmed(drill):
        redis.config_set("maxmemory", redis.info("memory")["used_memory"] // 2)
        time.sleep(seconds)
        redis.config_set("maxmemory", 0)
        took = works_again(drill)
        ends_well(drill, load, f"maxmemory reached for {seconds} s", took)


def test_redis_takes_no_writes(drill: Drill, load: BatchSpec) -> None:
    seconds = drill.size(4, 15)
    redis = drill.cluster.ledger.connection.client
    with unharmed(drill):
        redis.replicaof("127.0.0.1", 1)
        settled = drill.progress(load).settled
        time.sleep(seconds)
        assert drill.progress(load).settled == settled > 0
        redis.replicaof("NO", "ONE")
        took = works_again(drill)
        ends_well(drill, load, f"READONLY replies for {seconds} s", took)


@pytest.mark.parametrize("end", [pytest.param("thaw", marks=pytest.mark.long), "cut"])
def test_the_network_swallows_everything(drill: Drill, end: str) -> None:
    seconds = drill.size(5, 45)
    with TcpProxy(drill.cluster.redis.url.removeprefix("unix://")) as proxy:
        drill.cluster.env["CUTOUT_REDIS_URL"] = proxy.url
        spec = begin(drill)
        with unharmed(drill):
            proxy.mode = "blackhole"
            time.sleep(seconds)
            if end == "cut":
                proxy.cut()
            proxy.mode = "pass"
            took = works_again(drill)
            how = {"thaw": "then all arrives", "cut": "then connections are cut"}[end]
            ends_well(drill, spec, f"a black hole for {seconds} s, {how}", took)
        drill.cluster.stop()


@pytest.mark.long
def test_the_network_forgets_its_connections(drill: Drill) -> None:
    with TcpProxy(drill.cluster.redis.url.removeprefix("unix://")) as proxy:
        drill.cluster.env["CUTOUT_REDIS_URL"] = proxy.url
        spec = begin(drill)
        with unharmed(drill):
            proxy.strand()
            took = works_again(drill)
            ends_well(drill, spec, "connections fall silent for good, new ones work", took)
        drill.cluster.stop()


def outputs(out: Path) -> dict[str, int]:
    return {path.stem: path.stat().st_mtime_ns for path in out.glob("shelf */*.png")}


def test_redis_forgets_everything(drill: Drill) -> None:
    # in the full form some outcomes are in segments already, and some in Redis alone
    count = drill.size(60, 2400)
    drill.fill(count)
    for number in range(count):
        mark(drill.key_path(number), f"slow:{0.02 if drill.full else 0.2}")
    spec = drill.submit()
    drill.cluster.start_dispatcher(CUTOUT_WINDOW="50")
    for name in WORKERS:
        drill.cluster.start_worker(CHILDREN, name)
    drill.settled(spec, count // 2)
    with unharmed(drill):
        drill.cluster.ledger.connection.client.flushall()
        for verb in ("status", "watch"):
            answer = drill.cutout(verb, spec.id)
            assert answer.returncode == 1
            assert "batch_unknown" in answer.stderr
            assert "cutout rebuild" in answer.stderr
            assert "Traceback" not in answer.stderr
        until(lambda: all(drill.cluster.titled("idle", name) for name in WORKERS))
        before = outputs(drill.out)
        reported = {
            Path(row.key).stem for row in outcome_files.rows(open_store(spec.destination), spec.id)
        }
        assert bool(reported) == drill.full
        assert count // 2 <= len(before) < count
        answer = drill.cutout("rebuild", spec.id, spec.destination)
        assert answer.returncode == 0, answer.stderr
        drill.closed(spec)

    after = outputs(drill.out)
    rows = {Path(key).stem: row for key, row in drill.outcomes(spec).items()}
    # outcomes written before the loss keep their decode times
    again = [
        name
        for name, moment in before.items()
        if after[name] != moment or (name not in reported and "decode" in rows[name].milliseconds)
    ]
    counts = drill.passed(spec, "FLUSHALL, then `cutout rebuild`", 0, len(again), "run again")
    assert counts["done"] == count


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_redis_loses_its_latest_writes(drill: Drill, closed: bool) -> None:
    """What a power cut does to a Redis that syncs its append-only file every second."""
    spec = begin(drill)
    moment = drill.cluster.redis.written_bytes()
    if closed:
        drill.closed(spec)
    else:
        drill.settled(spec, drill.progress(spec).settled + 20)
    before = drill.progress(spec).settled
    with unharmed(drill):
        drill.cluster.redis.lose(moment)
        assert drill.progress(spec).settled < before
        started = time.monotonic()
        drill.closed(spec)
        took = time.monotonic() - started
    written = (
        f"a power cut, without the latest writes of {'a closed' if closed else 'an open'} batch"
    )
    counts = drill.passed(spec, written, drill.close_seconds, took)
    assert counts["done"] == spec.total
