"""Records of cutouts: what survives the loss of Redis, with a real Redis and real stores."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.services import RedisServer

from contract.errors import CutoutError, ErrorCode, PermanentError, RetryableError
from contract.ledger.redis_ledger import RedisLedger
from contract.outcome import Outcome, Output, Status
from contract.settings import Settings
from contract.storage import canonical_location
from contract.storage.files import FileStore
from producer.dispatch import cutouts
from producer.dispatch.publisher import queues_of
from producer.web.context import Context
from producer.web.cutouts import record_keeper
from producer.web.cutouts.create import create
from producer.web.cutouts.delete import delete
from producer.web.cutouts.idempotent import create_once, create_reserved, request_digest
from producer.web.cutouts.record_keeper import delete_old, keep
from producer.web.cutouts.records import RECORD_SECONDS, CutoutRecord, CutoutRecords
from producer.web.cutouts.request import NewCutout, Upload
from producer.web.cutouts.resource import find

NEW = NewCutout(source="upload")
UPLOAD = Upload("shoe.jpg", b"a photograph")
CALLBACK = NewCutout(source="upload", callback_url="https://192.0.2.1/hook")
DONE = Outcome(
    line=0, key="uploads/a.jpg", status=Status.DONE,
    outputs=[Output(key="a.png", width=3, height=2)],
)  # fmt: skip


@pytest.fixture(autouse=True)
def without_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count a cutout that Redis does not know as lost at once."""
    monkeypatch.setattr(record_keeper, "GRACE_SECONDS", -10)


def context_at(location: str, redis_server: RedisServer, monkeypatch) -> Context:
    monkeypatch.setenv("CUTOUT_REDIS_URL", redis_server.url)
    monkeypatch.setenv("CUTOUT_URL_ALLOWLIST", "192.0.2.0/24")
    ledger = RedisLedger(redis_server.url, retries=0, timeout=1)
    return Context(Settings(), ledger, None, canonical_location(location), ())


@pytest.fixture
def context(tmp_path: Path, redis_server: RedisServer, monkeypatch) -> Context:
    return context_at(str(tmp_path / "store"), redis_server, monkeypatch)


@pytest.fixture
def at_s3(bucket: str, redis_server: RedisServer, monkeypatch) -> Context:
    return context_at(f"s3://{bucket}/store", redis_server, monkeypatch)


def created(context: Context, new: NewCutout = NEW, upload: Upload | None = UPLOAD) -> str:
    cutout_id = cutouts.new_cutout_id()
    create(context, cutout_id, new, upload)
    return cutout_id


def flush(context: Context) -> None:
    context.ledger.connection.client.flushall()


def end(context: Context, cutout_id: str, outcome: Outcome = DONE) -> None:
    """Settle a cutout as a worker does, and close it as the dispatcher does."""
    batches = context.ledger.batches
    assert context.ledger.lines.finish(cutout_id, outcome)
    snapshot = batches.snapshot(cutout_id, queues_of(batches.progress(cutout_id).spec))
    cutouts.advance(context.ledger, context.callbacks, snapshot, context.settings)
    assert batches.progress(cutout_id).state == "closed"


def records(context: Context) -> dict[str, list[str]]:
    kept = context.records
    return {"open": list(kept.open_ids()), "ended": list(kept.ended_ids())}


def not_found(context: Context, cutout_id: str) -> bool:
    with pytest.raises(CutoutError) as caught:
        find(context, cutout_id)
    return caught.value.code is ErrorCode.NOT_FOUND


def keep_all(context: Context) -> None:
    for cutout_id in context.records.open_ids():
        keep(context, cutout_id)


@pytest.mark.slow
def test_a_queued_cutout_is_restored(at_s3: Context) -> None:
    source = f"{at_s3.store}/in/shoe.jpg"
    ids = [created(at_s3), created(at_s3, CALLBACK), created(at_s3, NewCutout(source=source), None)]
    ids.append(created(at_s3, NewCutout(source="https://192.0.2.1/shoe.jpg"), None))
    at_s3.open_store().put("in/shoe.jpg", b"a photograph", "image/jpeg")
    before = [at_s3.ledger.batches.progress(one).spec for one in ids]
    flush(at_s3)
    keep_all(at_s3)
    for one, spec in zip(ids, before, strict=True):
        progress = at_s3.ledger.batches.progress(one)
        assert (progress.spec, progress.state, progress.settled) == (spec, "open", 0)
    assert at_s3.ledger.batches.open_ids() == sorted(ids)


def test_a_cutout_that_redis_knows_is_left_alone(context: Context) -> None:
    cutout_id = created(context)
    before = context.ledger.batches.progress(cutout_id)
    keep(context, cutout_id)
    assert context.ledger.batches.progress(cutout_id) == before
    assert records(context) == {"open": [cutout_id], "ended": []}


def test_a_cutout_that_is_about_to_be_registered_is_left_to_its_server(
    context: Context, monkeypatch
) -> None:
    monkeypatch.setattr(record_keeper, "GRACE_SECONDS", 3600)
    cutout_id = created(context)
    flush(context)
    keep(context, cutout_id)
    assert not context.ledger.batches.exists(cutout_id)


def test_a_cutout_that_a_client_asks_for_is_restored_at_once(context: Context, monkeypatch) -> None:
    monkeypatch.setattr(record_keeper, "GRACE_SECONDS", 3600)
    cutout_id = created(context)
    flush(context)
    progress, outcome = find(context, cutout_id)
    assert (progress.state, outcome) == ("open", None)


@pytest.mark.slow
@pytest.mark.parametrize(
    "outcome",
    [
        DONE,
        Outcome(
            line=0, key="a", status=Status.FAILED, code=ErrorCode.EMPTY_FILE, message="No bytes."
        ),
    ],
    ids=["done", "failed"],
)
def test_a_cutout_that_has_ended_is_found_after_the_loss(at_s3: Context, outcome: Outcome) -> None:
    cutout_id = created(at_s3)
    end(at_s3, cutout_id, outcome)
    keep(at_s3, cutout_id)
    assert records(at_s3) == {"open": [], "ended": [cutout_id]}
    before = find(at_s3, cutout_id)[0]
    flush(at_s3)
    progress, found = find(at_s3, cutout_id)
    assert found == outcome
    assert (progress.spec, progress.state) == (before.spec, "closed")
    assert (progress.done, progress.failed) == (before.done, before.failed)
    assert at_s3.ledger.batches.open_ids() == []  # it is not processed again


def test_a_cutout_lost_after_it_ended_and_before_its_record_was_moved_runs_again(
    context: Context,
) -> None:
    cutout_id = created(context)
    end(context, cutout_id)
    flush(context)
    keep(context, cutout_id)
    end(context, cutout_id)
    keep(context, cutout_id)
    assert records(context) == {"open": [], "ended": [cutout_id]}


def test_a_record_stays_open_until_the_callback_is_delivered(context: Context) -> None:
    cutout_id = created(context, CALLBACK)
    end(context, cutout_id)
    keep(context, cutout_id)
    assert records(context)["open"] == [cutout_id]
    flush(context)
    keep(context, cutout_id)
    end(context, cutout_id)
    assert context.callbacks.is_pending(cutout_id)
    context.callbacks.drop(cutout_id)
    keep(context, cutout_id)
    assert records(context) == {"open": [], "ended": [cutout_id]}


@pytest.mark.parametrize("ended", [False, True])
def test_a_deleted_cutout_does_not_return(context: Context, tmp_path: Path, ended: bool) -> None:
    cutout_id = created(context)
    if ended:
        end(context, cutout_id)
        keep(context, cutout_id)
    delete(context, find(context, cutout_id)[0].spec)
    flush(context)
    keep_all(context)
    assert not_found(context, cutout_id)
    assert not [path for path in tmp_path.rglob("store/**/*") if cutout_id in path.name]


def test_a_lost_cutout_can_be_deleted(context: Context) -> None:
    cutout_id = created(context)
    flush(context)
    delete(context, find(context, cutout_id)[0].spec)
    assert not_found(context, cutout_id)


@pytest.mark.parametrize("failing", range(6))
def test_a_deletion_that_fails_half_way_can_be_repeated(
    context: Context, tmp_path: Path, monkeypatch, failing: int
) -> None:
    cutout_id = created(context, CALLBACK)
    key = find(context, cutout_id)[0].spec.cutout.destination_key
    context.open_store().put(key, b"an output", "image/png")
    calls, delete_object = [], FileStore.delete

    def delete_or_fail(store: FileStore, key: str) -> None:
        calls.append(key)
        if len(calls) == failing + 1:
            raise RetryableError(ErrorCode.STORAGE_UNAVAILABLE, "SlowDown")
        delete_object(store, key)

    monkeypatch.setattr(FileStore, "delete", delete_or_fail)
    with suppress(RetryableError):
        delete(context, find(context, cutout_id)[0].spec)
    if len(calls) == failing + 1:  # it failed
        delete(context, find(context, cutout_id)[0].spec)
    assert not_found(context, cutout_id)
    assert context.ledger.batches.was_deleted(cutout_id)
    stored = [path for path in tmp_path.rglob("store/**/*") if path.is_file()]
    assert not [path for path in stored if cutout_id in str(path)]


def test_a_worker_that_finishes_during_a_deletion_leaves_no_output(
    context: Context, tmp_path: Path, monkeypatch
) -> None:
    cutout_id = created(context)
    spec, lines = find(context, cutout_id)[0].spec, context.ledger.lines
    delete_object, settled = FileStore.delete, list[bool]()
    assert lines.claim(cutout_id, 0, "token", 60, quarantine=False)

    def finish(store: FileStore, key: str) -> None:
        """Write the output and settle the line, as a worker does, once the output was deleted."""
        delete_object(store, key)
        if key == spec.cutout.destination_key and not settled:
            store.put(key, b"an output", "image/png")
            settled.append(lines.finish(cutout_id, DONE))
            if not settled[0] and context.ledger.batches.was_deleted(cutout_id):
                delete_object(store, key)

    monkeypatch.setattr(FileStore, "delete", finish)
    delete(context, spec)
    assert settled == [False]
    assert not [path for path in tmp_path.rglob("store/**/*") if cutout_id in path.name]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_cutout_deleted_while_its_record_is_moved_does_not_return(
    context: Context, monkeypatch, moment: str
) -> None:
    cutout_id = created(context)
    end(context, cutout_id)
    spec, put = find(context, cutout_id)[0].spec, CutoutRecords.put

    def raced(self: CutoutRecords, record: CutoutRecord) -> None:
        steps: list[Callable[[], object]] = [
            lambda: delete(context, spec), lambda: put(self, record)
        ]  # fmt: skip
        for step in steps if moment == "before" else reversed(steps):
            step()

    monkeypatch.setattr(CutoutRecords, "put", raced)
    keep(context, cutout_id)
    flush(context)
    assert records(context) == {"open": [], "ended": []}
    assert not_found(context, cutout_id)


def test_a_cutout_is_not_confirmed_if_its_record_cannot_be_stored(
    context: Context, tmp_path: Path
) -> None:
    folder = tmp_path / "store/_cutout"
    folder.mkdir(parents=True)
    (folder / "cutouts").write_text("no folder")
    with pytest.raises(CutoutError):
        created(context)
    assert context.ledger.batches.open_ids() == []


def test_a_request_that_fails_leaves_no_record(context: Context, redis_server) -> None:
    redis_server.stop()
    with pytest.raises(RetryableError):
        created(context)
    assert records(context) == {"open": [], "ended": []}


def test_a_cutout_that_cannot_be_registered_leaves_no_record(context: Context, monkeypatch) -> None:
    def fail(*_: object) -> bool:
        raise PermanentError(ErrorCode.ACCESS_DENIED, "Access is denied.")

    monkeypatch.setattr(type(context.ledger.cutouts), "register", fail)
    with pytest.raises(PermanentError):
        created(context)
    assert records(context) == {"open": [], "ended": []}


def test_a_cutout_that_a_repeated_request_confirms_has_its_record(
    context: Context, monkeypatch
) -> None:
    """Redis dies after it registered the cutout and before it answers; later it loses its data."""
    register = type(context.ledger.cutouts).register

    def answer_lost(*arguments: object) -> bool:
        assert register(*arguments)
        raise RetryableError(ErrorCode.REDIS_UNAVAILABLE, "Redis did not answer.")

    with monkeypatch.context() as patched:
        patched.setattr(type(context.ledger.cutouts), "register", answer_lost)
        with pytest.raises(RetryableError):
            once(context)
    cutout_id = once(context)
    assert records(context)["open"] == [cutout_id]
    flush(context)
    keep(context, cutout_id)
    assert context.ledger.batches.exists(cutout_id)


def test_a_record_without_its_photograph_is_kept_for_days_and_then_deleted(
    context: Context, monkeypatch
) -> None:
    cutout_id = created(context)
    context.open_store().delete(f"uploads/{cutout_id}.jpg")
    flush(context)
    keep(context, cutout_id)
    assert not_found(context, cutout_id)
    assert records(context)["open"] == [cutout_id]
    now = time.time()
    monkeypatch.setattr(record_keeper.time, "time", lambda: now + RECORD_SECONDS + 60)
    keep(context, cutout_id)
    assert records(context)["open"] == []


def test_records_of_long_ago_are_deleted(context: Context) -> None:
    ids = []
    for age in (RECORD_SECONDS + 60, RECORD_SECONDS - 60):
        moment = datetime.fromtimestamp(time.time() - age, UTC)
        ids.append(f"c-{moment:%Y%m%d-%H%M%S}-abcdefabcdef")
        create(context, ids[-1], NEW, UPLOAD)
        end(context, ids[-1])
        keep(context, ids[-1])
    delete_old(context)
    assert records(context) == {"open": [], "ended": ids[1:]}


def test_a_record_of_another_program_is_left_alone(context: Context) -> None:
    cutout_id = cutouts.new_cutout_id()
    context.open_store().put(f"_cutout/cutouts/open/{cutout_id}.json", b"[]", "text/plain")
    context.open_store().put("_cutout/cutouts/open/note.txt", b"hello", "text/plain")
    for read in (keep, find):
        with pytest.raises(PermanentError, match="or is damaged"):
            read(context, cutout_id)
    assert records(context)["open"] == [cutout_id]


# idempotency keys


def once(context: Context, key: str = "order 1", new: NewCutout = NEW) -> str:
    return asyncio.run(create_once(context, "shop", key, new, UPLOAD))


def test_the_idempotency_key_of_a_queued_cutout_is_restored(context: Context) -> None:
    cutout_id = once(context)
    flush(context)
    keep(context, cutout_id)
    assert once(context) == cutout_id
    with pytest.raises(CutoutError) as caught:
        once(context, new=CALLBACK)
    assert caught.value.code is ErrorCode.IDEMPOTENCY_CONFLICT
    assert once(context, "order 2") != cutout_id


def test_a_slow_request_does_not_take_its_key_back(context: Context) -> None:
    """The reservation expires while the first request uploads; the same request is sent again."""
    keys, digest = context.idempotency_keys, request_digest(NEW, UPLOAD)
    first = keys.reserve("shop", "k", digest, cutouts.new_cutout_id())
    context.ledger.connection.client.delete("cutout:idempotency:shop:k")
    second = keys.reserve("shop", "k", digest, cutouts.new_cutout_id())
    assert create_reserved(context, "shop", "k", second, NEW, UPLOAD)
    assert not create_reserved(context, "shop", "k", first, NEW, UPLOAD)

    stands = keys.reserve("shop", "k", digest, cutouts.new_cutout_id())
    assert (stands.cutout_id, stands.committed) == (second.cutout_id, True)
    assert context.ledger.batches.open_ids() == [second.cutout_id]
    assert records(context)["open"] == [second.cutout_id]


def test_a_slow_request_whose_key_is_still_free_takes_it(context: Context) -> None:
    keys, digest = context.idempotency_keys, request_digest(NEW, UPLOAD)
    first = keys.reserve("shop", "k", digest, cutouts.new_cutout_id())
    context.ledger.connection.client.delete("cutout:idempotency:shop:k")
    assert create_reserved(context, "shop", "k", first, NEW, UPLOAD)
    assert keys.reserve("shop", "k", digest, "c-other").cutout_id == first.cutout_id
