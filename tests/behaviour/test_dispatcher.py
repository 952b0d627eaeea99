"""Feeding, draining, rebuilding and publishing, against a real Redis and without workers."""

import secrets
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.catalogue import photograph

from contract import names
from contract.batch import BatchSpec
from contract.counters import counters
from contract.errors import CutoutError, ErrorCode, RetryableError
from contract.job import ImageJob, ManifestLine
from contract.ledger.records import Claim, Worker
from contract.ledger.redis_ledger import RedisLedger
from contract.metrics import BREAKER_TRIPS
from contract.outcome import Outcome, OutcomeRow, Status
from contract.recipe import recipe_for
from contract.settings import Settings
from contract.storage.batch_files import write_spec
from producer.batches import control
from producer.batches.drain import drain
from producer.batches.rebuild import rebuild, rebuild_all
from producer.batches.register import begin, new_spec, register
from producer.batches.report.rows import current
from producer.callbacks.schedule import CallbackSchedule
from producer.dispatch import breaker, dispatcher, line_publisher, missing_workers
from producer.dispatch.publisher import publish
from producer.monitoring.metrics import ClusterMetrics


def dispatcher_of(ledger: RedisLedger) -> dispatcher.Dispatcher:
    return dispatcher.Dispatcher(ledger, CallbackSchedule(ledger.connection), Settings())


def test_a_pause_keeps_its_reason_while_the_report_cannot_be_written(
    ledger: RedisLedger, catalogue, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(dispatcher, "DRAIN_ROWS", 1)
    monkeypatch.setattr(dispatcher, "BACKOFF_SECONDS", 0)
    photograph(catalogue / "a.jpg")
    photograph(catalogue / "b.jpg")
    spec = register(ledger, str(catalogue), str(tmp_path / "out"), recipe_for("u2netp"))
    ledger.lines.finish(spec.id, Outcome(line=0, key="a.jpg", status=Status.DONE))
    obstacle = tmp_path / "out" / names.outcomes_prefix(spec.id)
    obstacle.write_text("no folder")
    ledger.batches.pause(spec.id, "the reason")
    dispatching = dispatcher_of(ledger)

    dispatching.tick()
    assert ledger.lines.outcomes(spec.id, 1)
    assert ledger.batches.progress(spec.id).stalled_reason == "the reason"
    obstacle.unlink()
    dispatching.tick()
    assert not ledger.lines.outcomes(spec.id, 1)
    assert ledger.batches.progress(spec.id).stalled_reason == "the reason"


@pytest.mark.parametrize("again", [False, True], ids=["issued", "issued again"])
def test_lines_whose_manifest_could_not_be_read_are_published_once_it_can(
    ledger: RedisLedger, redis_server, catalogue, tmp_path, monkeypatch, again: bool
) -> None:
    monkeypatch.setenv("CUTOUT_REDIS_URL", redis_server.url)
    monkeypatch.setattr(dispatcher, "BACKOFF_SECONDS", 0)
    photograph(catalogue / "a.jpg")
    photograph(catalogue / "b.jpg")
    spec = register(ledger, str(catalogue), str(tmp_path / "out"), recipe_for("u2netp"))
    if again:
        ledger.lines.issue(spec.id, 2, 2, -10)  # overdue, as if their messages were lost
    dispatching = dispatcher_of(ledger)
    read = dispatching._lines._segment_at

    def fail(*_: object) -> None:
        raise RetryableError(ErrorCode.STORAGE_UNAVAILABLE, "No answer.")

    monkeypatch.setattr(dispatching._lines, "_segment_at", fail)
    dispatching.tick()
    dispatching.tick()
    assert ledger.workers.queue_length(names.bulk_queue("u2netp")) == 0
    monkeypatch.setattr(dispatching._lines, "_segment_at", read)
    dispatching.tick()
    dispatching.tick()
    assert ledger.workers.queue_length(names.bulk_queue("u2netp")) == 2
    assert ledger.batches.progress(spec.id).stalled_reason == ""


def test_a_dispatcher_whose_storage_stalls_is_alive(
    ledger: RedisLedger, catalogue, tmp_path, monkeypatch
) -> None:
    photograph(catalogue / "a.jpg")
    for name in ("one", "two", "three"):
        register(ledger, str(catalogue), str(tmp_path / name), recipe_for("u2netp"))
    dispatching, alive = dispatcher_of(ledger), []
    monkeypatch.setattr(dispatcher, "ALIVE_SECONDS", 0.5)

    def stall(_: object) -> bool:
        time.sleep(0.3)
        alive.append(dispatching.is_alive())
        raise RetryableError(ErrorCode.STORAGE_UNAVAILABLE, "No answer.")

    monkeypatch.setattr(dispatching, "_advance", stall)
    dispatching.tick()
    assert alive == [True] * 3


def metrics(ledger: RedisLedger) -> dict[tuple[str, ...], float]:
    """Return what Prometheus scrapes, by name and labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in ClusterMetrics(ledger.connection.address).collect()
        for sample in family.samples
    }


def failing_batch(ledger: RedisLedger, catalogue: Path, tmp_path: Path, worker: str) -> BatchSpec:
    """Return a batch of which one worker failed all images so far; one is left."""
    total = 30
    for number in range(total + 1):
        photograph(catalogue / f"{number}.jpg")
    spec = register(ledger, str(catalogue), str(tmp_path / "out"), recipe_for("u2netp"))
    for line in range(total):
        failed = Outcome(line=line, key=f"{line}.jpg", status=Status.FAILED, worker=worker)
        ledger.lines.finish(spec.id, failed, ErrorCode.ACCESS_DENIED)
    return spec


def test_an_open_breaker_is_counted_and_shown(ledger: RedisLedger, catalogue, tmp_path) -> None:
    spec = failing_batch(ledger, catalogue, tmp_path, "w")
    ledger.workers.register(Worker("w", names.bulk_queue("u2netp"), 1, 0))
    before = counters.rows().get((BREAKER_TRIPS.name, ()), [0.0])[0]

    dispatching = dispatcher_of(ledger)
    dispatching.tick()
    assert ledger.batches.progress(spec.id).state == "paused"
    assert counters.rows()[BREAKER_TRIPS.name, ()] == [before + 1]
    samples = metrics(ledger)
    assert samples["cutout_batch_stalled", spec.id, "breaker"] == 1
    assert samples["cutout_batch_state", spec.id, "paused"] == 1
    # nobody should start workers for a batch that is paused
    pipeline = str(spec.recipe.pipeline)
    assert samples["cutout_unsettled_images", "u2netp", pipeline, "held"] == 1
    assert samples["cutout_unsettled_images", "u2netp", pipeline, "waiting"] == 0


def test_a_worker_out_of_rotation_pauses_no_batch(ledger: RedisLedger, catalogue, tmp_path) -> None:
    """All results so far are its own: the one that is left has not settled an image yet."""
    queue, spec = names.bulk_queue("u2netp"), failing_batch(ledger, catalogue, tmp_path, "bad")
    ledger.workers.register(Worker("bad", queue, 1, 0, out_of_rotation="It fails."))
    ledger.workers.register(Worker("good", queue, 1, 0))
    dispatcher_of(ledger).tick()
    assert ledger.batches.progress(spec.id).state == "open"
    assert metrics(ledger)["cutout_worker_out_of_rotation", "bad", queue] == 1
    assert metrics(ledger)["cutout_worker_out_of_rotation", "good", queue] == 0


@pytest.mark.parametrize("moment", ["before it trips", "before it resumes"])
def test_the_circuit_breaker_leaves_a_batch_to_the_operator_who_paused_it(
    ledger: RedisLedger, catalogue, tmp_path, monkeypatch, moment: str
) -> None:
    """The operator pauses it just after the dispatcher has read it."""
    photograph(catalogue / "a.jpg")
    spec = register(ledger, str(catalogue), str(tmp_path / "out"), recipe_for("u2netp"))
    read = ledger.batches.snapshot

    def paused_meanwhile(*arguments):
        snapshot = read(*arguments)
        control.pause(ledger, spec.id)
        return snapshot

    if moment == "before it resumes":
        assert ledger.batches.trip(spec.id, "storage", time.time() - 1)
    dispatching = dispatcher_of(ledger)
    tripped = breaker.Tripped("storage", may_recover=True)
    monkeypatch.setattr(dispatching._breaker, "check", lambda *_: tripped)
    monkeypatch.setattr(ledger.batches, "snapshot", paused_meanwhile)
    dispatching.tick()
    progress = ledger.batches.progress(spec.id)
    assert (progress.state, progress.retry_at) == ("paused", None)
    assert "Paused by an operator" in progress.stalled_reason


def test_the_reason_of_a_dispatcher_that_died_does_not_stay(
    ledger: RedisLedger, catalogue, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(dispatcher, "DRAIN_ROWS", 1)
    monkeypatch.setattr(line_publisher, "publish_issued", lambda *_: 0)
    for name in ("a", "b"):
        photograph(catalogue / f"{name}.jpg")
    spec = register(ledger, str(catalogue), str(tmp_path / "out"), recipe_for("u2netp"))
    ledger.lines.finish(spec.id, Outcome(line=0, key="a.jpg", status=Status.DONE))
    obstacle = tmp_path / "out" / names.outcomes_prefix(spec.id)
    obstacle.write_text("no folder")
    dispatcher_of(ledger).tick()
    assert ledger.batches.progress(spec.id).stalled_reason
    obstacle.unlink()
    dispatcher_of(ledger).tick()
    assert ledger.batches.progress(spec.id).stalled_reason == ""


def test_a_cancelled_batch_whose_files_were_deleted_ends(
    ledger: RedisLedger, catalogue, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(dispatcher, "BACKOFF_SECONDS", 0)
    photograph(catalogue / "a.jpg")
    spec = register(ledger, str(catalogue), str(tmp_path / "out"), recipe_for("u2netp"))
    dispatching = dispatcher_of(ledger)
    manifest = tmp_path / "out" / spec.manifest_key(0)
    content = manifest.read_bytes()
    manifest.unlink()
    control.cancel(ledger, spec.id)
    dispatching.tick()  # its spec is there: the manifest may be back in a moment
    assert ledger.batches.progress(spec.id).state == "cancelling"
    manifest.write_bytes(content)
    shutil.rmtree(tmp_path / "out")
    dispatching.tick()
    progress = ledger.batches.progress(spec.id)
    assert (progress.state, progress.stalled_reason) == ("closed", dispatcher.DELETED)
    assert ledger.batches.open_ids() == []


def test_an_open_batch_whose_files_were_deleted_stays(
    ledger: RedisLedger, catalogue, tmp_path
) -> None:
    photograph(catalogue / "a.jpg")
    spec = register(ledger, str(catalogue), str(tmp_path / "out"), recipe_for("u2netp"))
    shutil.rmtree(tmp_path / "out")
    dispatcher_of(ledger).tick()
    assert ledger.batches.progress(spec.id).state == "open"


def test_a_batch_without_workers_says_which_one_it_needs(
    ledger: RedisLedger, catalogue, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(missing_workers, "WORKER_START_SECONDS", 0)
    monkeypatch.setattr(line_publisher, "publish_issued", lambda *_: 0)
    photograph(catalogue / "a.jpg")
    spec = register(ledger, str(catalogue), str(tmp_path / "out"), recipe_for("u2netp"))
    dispatching = dispatcher_of(ledger)
    dispatching.tick()
    assert "`CUTOUT_MODEL=u2netp cutout worker`" in ledger.batches.progress(spec.id).stalled_reason

    ledger.workers.register(
        Worker(name="w", queue=names.bulk_queue("u2netp"), children=1, clock_skew=0)
    )
    dispatching.tick()
    assert ledger.batches.progress(spec.id).stalled_reason == ""


def test_two_dispatchers_that_drain_at_once_lose_no_row(
    ledger: RedisLedger, catalogue, tmp_path
) -> None:
    for number in range(5):
        photograph(catalogue / f"{number}.jpg", number)
    spec = register(ledger, str(catalogue), str(tmp_path / "out"), recipe_for("u2netp"))

    def settle(line: int) -> None:
        outcome = Outcome(line=line, key=f"{line}.jpg", status=Status.DONE)
        assert ledger.lines.finish(spec.id, outcome)
        assert not ledger.lines.finish(spec.id, outcome)

    class EarlierLines:
        """What a dispatcher read that was then held up before it wrote."""

        def outcomes(self, *_: object) -> list[OutcomeRow]:
            return seen

        def drop_outcomes(self, batch: str, last: str) -> None:
            ledger.lines.drop_outcomes(batch, last)

    for line in range(2):
        settle(line)
    seen = ledger.lines.outcomes(spec.id, 10)
    for line in range(2, 5):
        settle(line)
    assert drain(ledger, spec)
    assert drain(SimpleNamespace(lines=EarlierLines()), spec)

    assert sorted(o.line for o in current(ledger, spec)) == [0, 1, 2, 3, 4]
    assert ledger.batches.progress(spec.id).done == 5


def test_only_a_batch_that_is_lost_is_rebuilt(ledger: RedisLedger, catalogue, tmp_path) -> None:
    (catalogue / "a.jpg").write_bytes(b"a")
    out = str(tmp_path / "out")
    spec = register(ledger, str(catalogue), out, recipe_for("u2netp"))

    with pytest.raises(CutoutError) as known:
        rebuild(ledger, spec.id, out)
    assert known.value.code is ErrorCode.BATCH_EXISTS
    with pytest.raises(CutoutError) as unknown:
        rebuild(ledger, "20200101-000000-aaaa", out)
    assert unknown.value.code is ErrorCode.BATCH_UNKNOWN

    ledger.connection.client.flushall()
    ledger.batches.set_stalled_reason(spec.id, "of a batch that is gone")
    assert not ledger.connection.client.keys()
    assert rebuild(ledger, spec.id, out) == (spec, 0)
    assert ledger.batches.progress(spec.id).state == "open"


@pytest.mark.parametrize("every", [False, True])
def test_a_rebuild_that_was_killed_halfway_is_completed_by_the_next(
    ledger: RedisLedger, catalogue, tmp_path, monkeypatch, every: bool
) -> None:
    (catalogue / "a.jpg").write_bytes(b"a")
    out = str(tmp_path / "out")
    spec = register(ledger, str(catalogue), out, recipe_for("u2netp"))
    ledger.connection.client.flushall()

    def killed(_: str) -> None:
        raise KeyboardInterrupt

    open_batch = ledger.batches.open
    monkeypatch.setattr(ledger.batches, "open", killed)
    with pytest.raises(KeyboardInterrupt):
        rebuild(ledger, spec.id, out)
    monkeypatch.setattr(ledger.batches, "open", open_batch)
    assert [*rebuild_all(ledger, out, print)] if every else rebuild(ledger, spec.id, out)
    assert ledger.batches.progress(spec.id).state == "open"
    assert ledger.batches.open_ids() == [spec.id]


def test_a_batch_whose_source_is_being_listed_is_not_rebuilt(
    ledger: RedisLedger, catalogue, tmp_path
) -> None:
    out = str(tmp_path / "out")
    spec = new_spec(str(catalogue), out, recipe_for("u2netp"))
    begin(ledger, spec)
    write_spec(spec)
    with pytest.raises(CutoutError) as known:
        rebuild(ledger, spec.id, out)
    assert known.value.code is ErrorCode.BATCH_EXISTS


@pytest.mark.parametrize("harm", ["full", "read-only", "empty"])
def test_publishing_says_that_redis_is_at_fault(
    ledger: RedisLedger, redis_server, monkeypatch, harm: str
) -> None:
    monkeypatch.setenv("CUTOUT_REDIS_URL", redis_server.url)
    job = ImageJob(
        batch="b-20200101-000000-aaaaaa", line=0, source="file:///in", destination="file:///out",
        photograph=ManifestLine(key="a.jpg", size=1, etag="1"), recipe=recipe_for("u2netp"),
    )  # fmt: skip
    queue, redis = names.bulk_queue("u2netp"), ledger.connection.client
    publish(queue, [job], 1.0)
    assert redis.llen(queue) == 1
    if harm == "empty":
        redis.flushall()
        publish(queue, [job], 1.0)
        assert redis.llen(queue) == 1
        return
    if harm == "full":
        redis.config_set("maxmemory", 1)
    else:
        redis.replicaof("127.0.0.1", 1)
    with pytest.raises(CutoutError) as raised:
        publish(queue, [job], 1.0)
    assert raised.value.code is ErrorCode.REDIS_UNAVAILABLE


@pytest.mark.parametrize("lost", [False, True])
def test_a_long_tick_keeps_the_lease_and_ends_once_it_is_lost(
    ledger: RedisLedger, catalogue, tmp_path, monkeypatch, lost: bool
) -> None:
    photograph(catalogue / "a.jpg")
    for name in ("one", "two", "three"):
        register(ledger, str(catalogue), str(tmp_path / name), recipe_for("u2netp"))
    dispatching, redis = dispatcher_of(ledger), ledger.connection.client
    assert dispatching._acquire_lease()
    begin, left = time.time(), []

    def long_step(_: object) -> bool:
        left.append(redis.pttl(names.DISPATCHER_LEASE))
        if lost:
            redis.set(names.DISPATCHER_LEASE, "another", ex=60)
        else:
            redis.expire(names.DISPATCHER_LEASE, 5)
        now = begin + len(left) * dispatcher.LEASE_SECONDS
        monkeypatch.setattr(dispatcher.time, "time", lambda: now)
        return False

    monkeypatch.setattr(dispatching, "_advance", long_step)
    dispatching.tick()
    assert len(left) == (1 if lost else 3)
    assert min(left) > 5000
    dispatching.stop()


@pytest.mark.parametrize("moment", ["snapshot", "unclaimed"])
def test_a_dispatcher_that_was_frozen_leaves_the_batches_to_another(
    ledger: RedisLedger, catalogue, tmp_path, monkeypatch, moment: str
) -> None:
    """It is frozen after it has read that a batch is being cancelled, until that is long over.

    Or after it has found that it still holds the lease.
    """
    photograph(catalogue / "a.jpg")
    spec = register(ledger, str(catalogue), str(tmp_path / "out"), recipe_for("u2netp"))
    ledger.batches.cancel(spec.id)
    frozen, other = dispatcher_of(ledger), dispatcher_of(ledger)
    part = type(ledger.batches if moment == "snapshot" else ledger.lines)
    read = getattr(part, moment)

    def freeze(*arguments):
        answer = read(*arguments)
        monkeypatch.setattr(part, moment, read)
        ledger.acquire_lease(other._token, 60)
        other.tick()
        other.tick()
        other._closer.wait()
        assert control.retry(ledger, spec.id) == 1
        now = time.time()
        monkeypatch.setattr(dispatcher.time, "time", lambda: now + dispatcher.LEASE_SECONDS)
        return answer

    monkeypatch.setattr(part, moment, freeze)
    frozen.tick()
    progress = ledger.batches.progress(spec.id)
    assert (progress.state, progress.failed) == ("open", 0)
    for one in (frozen, other):
        one.stop()


def test_a_cancelled_batch_waits_for_the_images_being_processed(
    ledger: RedisLedger, catalogue, tmp_path
) -> None:
    for name in ("a", "b", "c"):
        photograph(catalogue / f"{name}.jpg")
    spec = register(ledger, str(catalogue), str(tmp_path / "out"), recipe_for("u2netp"))
    lines, batches = ledger.lines, ledger.batches
    for line, lease in ((0, 60), (1, 0)):  # the worker of the second one has vanished
        assert isinstance(lines.claim(spec.id, line, f"t{line}", lease, quarantine=False), Claim)
    batches.cancel(spec.id)
    one = dispatcher_of(ledger)
    ledger.acquire_lease(one._token, 60)
    one.tick()
    one.tick()
    assert (batches.progress(spec.id).state, batches.progress(spec.id).failed) == ("cancelling", 2)
    assert "its lease: at most 300 s" in batches.progress(spec.id).stalled_reason
    assert lines.finish(spec.id, Outcome(line=0, key="a.jpg", status=Status.DONE))
    one.tick()
    one._closer.wait()
    closed = batches.progress(spec.id)
    assert (closed.state, closed.stalled_reason) == ("closed", "")
    outcomes = {outcome.line: outcome for outcome in current(ledger, spec)}
    assert [outcomes[line].status for line in range(3)] == ["done", "failed", "failed"]
    assert [outcomes[line].attempts for line in (1, 2)] == [1, 0]
    one.stop()


def test_a_lease_is_not_given_to_a_stranger(ledger: RedisLedger) -> None:
    first, second = secrets.token_hex(4), secrets.token_hex(4)
    assert ledger.acquire_lease(first, 30)
    assert not ledger.acquire_lease(second, 30)
    ledger.release_lease(second)
    assert ledger.acquire_lease(first, 30)
    ledger.release_lease(first)
    assert ledger.acquire_lease(second, 30)
