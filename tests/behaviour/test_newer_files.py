"""Files of a newer release in object storage: no process loses them, or takes them for its own."""

import json
import threading
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.newer import LEFT_ALONE, NewerOutcome, newer, two_photographs
from support.receivers import answer, receiving
from support.services import RedisServer, until
from typer.testing import CliRunner

from contract import names
from contract.batch import BatchSpec
from contract.errors import CutoutError, ErrorCode, PermanentError
from contract.ledger import unreadable
from contract.ledger.redis_ledger import RedisLedger
from contract.outcome import Outcome, Status
from contract.recipe import Recipe
from contract.settings import Settings, settings
from contract.storage import batch_files, canonical_location, open_store
from contract.storage.json_lines import get_lines, put_lines
from producer.batches.rebuild import rebuild, rebuild_all
from producer.batches.register import begin, new_spec, register
from producer.callbacks.delivery import Result, deliver
from producer.callbacks.schedule import CallbackSchedule
from producer.cli import main
from producer.dispatch import cutouts, dispatcher
from producer.dispatch.callbacks import load_delivery
from producer.dispatch.dispatcher import Dispatcher
from producer.dispatch.reasons import OLDER_RELEASE
from producer.web.batches import listings
from producer.web.context import Context
from producer.web.cutouts import record_keeper
from producer.web.cutouts.create import create
from producer.web.cutouts.records import RECORD_SECONDS
from producer.web.cutouts.request import NewCutout, Upload
from producer.web.cutouts.resource import find
from worker.audit.batch import audit

RECIPE = Recipe(model="u2netp")


@pytest.fixture(autouse=True)
def environment(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUTOUT_REDIS_URL", redis_server.url)
    monkeypatch.setenv("CUTOUT_URL_ALLOWLIST", "127.0.0.0/8,192.0.2.0/24")
    monkeypatch.setattr(unreadable, "_logged", set())
    monkeypatch.setattr(dispatcher, "BACKOFF_SECONDS", 0)
    settings.cache_clear()


@pytest.fixture
def folders(tmp_path: Path) -> tuple[str, str]:
    return two_photographs(tmp_path)


@pytest.fixture
def dispatching(ledger: RedisLedger) -> Dispatcher:
    running = Dispatcher(ledger, CallbackSchedule(ledger.connection), settings())
    yield running
    running.stop()


def code_of(error: BaseException | None) -> ErrorCode | None:
    return error.code if isinstance(error, CutoutError) else None


def add_field(spec: BatchSpec, key: str) -> None:
    """Add a field of a newer release to a JSON file of a batch, or to each line of a segment."""
    store = open_store(spec.destination)
    if key.endswith(".gz"):
        lines = [json.dumps({**json.loads(line), "glow": 3}) for line in get_lines(store, key)]
        put_lines(store, key, lines)
    else:
        fields = json.loads(store.get(key).data) | {"glow": 3}
        store.put(key, json.dumps(fields).encode(), "application/json")


def drop_field(spec: BatchSpec, key: str) -> None:
    """Undo `add_field`: a process of that release knows the field."""
    store = open_store(spec.destination)
    fields = json.loads(store.get(key).data)
    del fields["glow"]
    store.put(key, json.dumps(fields).encode(), "application/json")


def settle(ledger: RedisLedger, spec: BatchSpec, *, by_newer: bool = False) -> None:
    for line, key in enumerate(("a.jpg", "b.jpg")):
        outcome = Outcome(line=line, key=key, status=Status.DONE)
        if by_newer:
            outcome = NewerOutcome(**dict(outcome), glow=4)
        ledger.lines.finish(spec.id, outcome)


def tick(dispatching: Dispatcher, times: int = 3) -> None:
    for _ in range(times):
        dispatching.tick()
        for closing in list(dispatching._closer._closing.values()):
            closing.exception()


# the spec


@pytest.mark.parametrize("known", [False, True], ids=["lost", "in Redis"])
def test_a_rebuild_restores_the_others(ledger: RedisLedger, folders, known: bool) -> None:
    theirs, ours = (register(ledger, *folders, RECIPE) for _ in range(2))
    add_field(theirs, names.spec_key(theirs.id))
    ledger.connection.client.flushall()
    if known:
        ledger.batches.register(newer(theirs))
        ledger.batches.open(theirs.id)
    left: list[tuple[str, ErrorCode | None]] = []
    restored = rebuild_all(ledger, folders[1], lambda batch, e: left.append((batch, code_of(e))))
    assert [spec.id for spec, _ in restored] == [ours.id]
    assert left == [(theirs.id, ErrorCode.NEWER_RELEASE)]
    assert ledger.batches.exists(theirs.id) is known


def test_a_rebuild_of_it_says_why_it_cannot(ledger: RedisLedger, folders) -> None:
    theirs = register(ledger, *folders, RECIPE)
    add_field(theirs, names.spec_key(theirs.id))
    ledger.connection.client.flushall()
    with pytest.raises(PermanentError, match=f"Batch {theirs.id} comes from a newer") as caught:
        rebuild(ledger, theirs.id, folders[1])
    assert caught.value.code is ErrorCode.NEWER_RELEASE
    printed = CliRunner().invoke(main.app, ["rebuild", "--all", folders[1]])
    assert printed.exit_code == 1
    assert "it cannot be read" in printed.stderr
    assert "damaged (" not in printed.stderr


# outcomes and manifests


@pytest.mark.parametrize("drained", [False, True])
def test_a_batch_with_outcomes_of_a_newer_release_is_closed_by_that_release(
    ledger: RedisLedger, dispatching: Dispatcher, folders, drained: bool, monkeypatch
) -> None:
    theirs, ours = (register(ledger, *folders, RECIPE) for _ in range(2))
    if drained:
        monkeypatch.setattr(dispatcher, "DRAIN_ROWS", 1)
    settle(ledger, theirs, by_newer=True)
    settle(ledger, ours)
    with capture_logs() as logged:
        tick(dispatching)
    assert ledger.batches.progress(ours.id).state == "closed"
    progress = ledger.batches.progress(theirs.id)
    assert (progress.state, progress.done, progress.stalled_reason) == ("open", 2, OLDER_RELEASE)
    assert {line["event"] for line in logged} == {LEFT_ALONE, "batch closed"}
    failed = CliRunner().invoke(main.app, ["report", theirs.id]).exception
    assert code_of(failed) is ErrorCode.NEWER_RELEASE
    with pytest.raises(PermanentError, match="newer release"):
        list(audit(ledger, theirs.id))

    # that release knows the field
    monkeypatch.setattr(
        "contract.outcome.read_stored", lambda _, row, __: NewerOutcome.model_validate_json(row)
    )
    tick(dispatching)
    assert ledger.batches.progress(theirs.id).state == "closed"


def test_a_manifest_of_a_newer_release_holds_up_no_other_batch(
    ledger: RedisLedger, dispatching: Dispatcher, folders
) -> None:
    theirs, ours = (register(ledger, *folders, RECIPE) for _ in range(2))
    add_field(theirs, theirs.manifest_key(0))
    with capture_logs() as logged:
        tick(dispatching)
    assert ledger.workers.queue_length(names.bulk_queue("u2netp")) == 2
    assert ledger.batches.progress(ours.id).issued == 2
    assert ledger.batches.progress(theirs.id).stalled_reason == OLDER_RELEASE
    assert {line["event"] for line in logged} == {LEFT_ALONE}
    with pytest.raises(PermanentError, match="newer release"):
        list(audit(ledger, theirs.id))


# listings


def begun(ledger: RedisLedger, folders, **fields: object) -> BatchSpec:
    """Return a batch whose listing a process of a newer release has begun."""
    spec = begin(ledger, new_spec(*folders, RECIPE, **fields))
    key = names.checkpoint_key(spec.id)
    open_store(spec.destination).put(key, b'{"glow": 3}', "application/json")
    return spec


def test_a_server_leaves_a_listing_that_it_cannot_read_to_another(
    ledger: RedisLedger, folders
) -> None:
    spec = begun(ledger, folders, background=True)
    stop = threading.Event()
    with capture_logs() as logged:
        thread = threading.Thread(target=listings.run, args=(ledger, stop))
        thread.start()
        until(lambda: logged)
        time.sleep(1.2)  # two more looks
        stop.set()
        thread.join()
    assert [line["event"] for line in logged] == [LEFT_ALONE]
    assert ledger.batches.progress(spec.id).state == "registering"
    assert ledger.listings.acquire(spec.id, "newer")


def test_a_submit_leaves_a_listing_that_it_cannot_read(ledger: RedisLedger, folders) -> None:
    spec = begun(ledger, folders)
    with pytest.raises(PermanentError, match="newer release") as caught:
        register(ledger, *folders, RECIPE)
    assert caught.value.code is ErrorCode.NEWER_RELEASE
    assert ledger.batches.progress(spec.id).state == "registering"
    assert ledger.listings.acquire(spec.id, "newer")


# private fields


def test_a_callback_that_this_release_cannot_send_is_sent_by_the_newer_one(
    ledger: RedisLedger, dispatching: Dispatcher, folders
) -> None:
    with receiving(answer(204)) as receiver:
        spec = register(ledger, *folders, RECIPE, callback_url=receiver.url("/hook"))
        settle(ledger, spec)
        tick(dispatching)
        add_field(spec, names.private_fields_key(spec.id))
        callbacks = CallbackSchedule(ledger.connection, names.BATCH_CALLBACKS)
        for _ in range(20):  # more than the attempts that a callback has
            [callback] = callbacks.take(1, 60)
            assert deliver(callbacks, callback, lambda one: load_delivery(ledger, one)) is (
                Result.POSTPONED
            )
            assert callbacks.attempts(callback) == 0
            assert callbacks.take(1, 60) == []
            callbacks.postpone(callback, -1)
        drop_field(spec, names.private_fields_key(spec.id))
        [callback] = callbacks.take(1, 60)
        assert batch_files.read_private_fields(spec.id, spec.destination).callback_url
        result = deliver(callbacks, callback, lambda one: load_delivery(ledger, one))
    assert result is Result.DELIVERED


# records of cutouts


@pytest.fixture
def context(ledger: RedisLedger, tmp_path: Path) -> Context:
    return Context(Settings(), ledger, None, canonical_location(str(tmp_path / "store")), ())


@pytest.mark.parametrize("age", [0, RECORD_SECONDS + 60], ids=["new", "old"])
def test_a_record_of_a_newer_release_is_kept_for_it(
    context: Context, ledger: RedisLedger, monkeypatch, age: int
) -> None:
    monkeypatch.setattr(record_keeper, "GRACE_SECONDS", -10)
    monkeypatch.setattr(record_keeper, "age_seconds", lambda *_: age)
    cutout_id = cutouts.new_cutout_id()
    spec = create(context, cutout_id, NewCutout(source="upload"), Upload("a.jpg", b"a photograph"))
    ledger.connection.client.flushall()
    own = spec.model_copy(update={"destination": context.store})
    key = f"_cutout/cutouts/open/{cutout_id}.json"
    add_field(own, key)
    with capture_logs() as logged:
        for _ in range(2):
            record_keeper._keep(context, threading.Event(), cutout_id)
    assert [(line["event"], line["batch"]) for line in logged] == [(LEFT_ALONE, cutout_id)]
    with pytest.raises(PermanentError) as caught:
        find(context, cutout_id)
    assert caught.value.code is ErrorCode.NEWER_RELEASE
    drop_field(own, key)
    assert find(context, cutout_id)[0].spec == spec


def test_a_cutout_of_a_newer_release_is_neither_closed_nor_restored(
    context: Context, ledger: RedisLedger, dispatching: Dispatcher
) -> None:
    cutout_id = cutouts.new_cutout_id()
    spec = create(context, cutout_id, NewCutout(source="upload"), Upload("a.jpg", b"a photograph"))
    redis, key = ledger.connection.client, names.redis_key(cutout_id)
    redis.hset(key, "spec", newer(spec).model_dump_json())
    ledger.lines.finish(cutout_id, Outcome(line=0, key="a.jpg", status=Status.DONE))
    with capture_logs() as logged:
        tick(dispatching)
        record_keeper._keep(context, threading.Event(), cutout_id)
    assert [(line["event"], line["batch"]) for line in logged] == [(LEFT_ALONE, cutout_id)]
    assert redis.hget(key, "state") == "open"
    assert ledger.batches.open_ids() == [cutout_id]
    assert list(context.records.open_ids()) == [cutout_id]
    with pytest.raises(PermanentError, match=f"Cutout {cutout_id}"):
        find(context, cutout_id)
