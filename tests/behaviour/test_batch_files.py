"""Pruning and rebuilding batches from what they left in their destination."""

import time
from pathlib import Path

import pytest

from contract import names
from contract.batch import BatchSpec
from contract.errors import PermanentError
from contract.ledger.redis_ledger import RedisLedger
from contract.outcome import Outcome, Status
from contract.recipe import Recipe
from contract.settings import settings
from contract.storage import batch_files, open_store
from contract.storage.files import FileStore
from producer.batches import control
from producer.batches.prune import Pruned, prune
from producer.batches.rebuild import rebuild_all
from producer.batches.register import register
from producer.callbacks.schedule import CallbackSchedule
from producer.dispatch.dispatcher import Dispatcher

DAY = 24 * 3600


class Destination:
    """A folder with the files of several batches, and an output."""

    def __init__(self, ledger: RedisLedger, folder: Path) -> None:
        self.ledger = ledger
        self.damaged: list[str] = []
        self.source, self.folder = folder / "in", folder / "out"
        self.source.mkdir()
        (self.source / "a.jpg").write_bytes(b"x")
        self.folder.mkdir()
        self.output = self.folder / "a.png"
        self.output.write_bytes(b"output")

    def open(self) -> BatchSpec:
        return register(self.ledger, str(self.source), str(self.folder), Recipe(model="u2netp"))

    def closed(self, status: Status = Status.DONE) -> BatchSpec:
        spec = self.open()
        self.settle(spec, status)
        return spec

    def settle(self, spec: BatchSpec, status: Status) -> None:
        self.ledger.lines.finish(spec.id, Outcome(line=0, key="a.jpg", status=status))
        dispatcher = Dispatcher(self.ledger, CallbackSchedule(self.ledger.connection), settings())
        dispatcher.tick()
        dispatcher.stop()
        assert self.ledger.batches.progress(spec.id).state == "closed"

    def prune(self, days: float = 0) -> list[str]:
        return [
            pruned.batch for pruned in prune(self.ledger, str(self.folder), days * DAY, self.note)
        ]

    def note(self, batch: str, _error: Exception) -> None:
        self.damaged.append(batch)

    def damage(self, spec: BatchSpec, name: str, content: bytes) -> None:
        (self.folder / "_cutout" / spec.id / name).write_bytes(content)

    def files(self, spec: BatchSpec) -> set[str]:
        folder = self.folder / "_cutout" / spec.id
        return {path.name for path in folder.iterdir()} if folder.exists() else set()

    def lose(self) -> None:
        self.ledger.connection.client.flushall()

    def rebuilt(self) -> set[str]:
        return {spec.id for spec, _ in rebuild_all(self.ledger, str(self.folder), self.note)}


@pytest.fixture
def destination(ledger: RedisLedger, tmp_path: Path, redis_server, monkeypatch) -> Destination:
    monkeypatch.setenv("CUTOUT_REDIS_URL", redis_server.url)
    settings.cache_clear()
    return Destination(ledger, tmp_path)


def test_only_closed_batches_of_that_age_are_pruned_and_no_output(destination) -> None:
    old = destination.closed()
    (destination.folder / "_cutout" / "notes.txt").write_text("of a user")
    waiting = destination.open()
    assert destination.prune(days=1) == []
    listed = list(open_store(old.destination).list(names.batch_prefix(old.id)))
    assert list(prune(destination.ledger, str(destination.folder), 0, destination.note)) == [
        Pruned(old.id, len(listed), sum(item.size for item in listed))
    ]
    assert destination.files(old) == set()
    assert not (destination.folder / "_cutout" / old.id).exists()
    assert destination.files(waiting) == {"batch.json", "manifest"}
    assert destination.output.read_bytes() == b"output"
    assert (destination.folder / "_cutout" / "notes.txt").exists()
    with pytest.raises(PermanentError, match="There is no batch"):
        control.retry(destination.ledger, old.id)


def test_a_retried_batch_is_not_pruned_before_it_is_closed_again(destination) -> None:
    spec = destination.closed(Status.FAILED)
    assert control.retry(destination.ledger, spec.id) == 1
    assert destination.prune() == []
    destination.lose()  # its summary says that it is not closed, whatever Redis knows
    assert destination.prune() == []
    assert destination.rebuilt() == {spec.id}


def test_a_batch_that_redis_knows_as_open_is_kept_whatever_its_summary_says(destination) -> None:
    """As if a retry had reopened it a moment ago."""
    spec = destination.closed(Status.FAILED)
    assert destination.ledger.batches.reopen(spec.id, [0]) == 1
    assert destination.prune() == []
    assert "summary.json" in destination.files(spec)


def test_an_interrupted_pruning_can_be_repeated(destination, monkeypatch) -> None:
    spec, delete, deleted = destination.closed(), FileStore.delete, []

    def interrupted(store: FileStore, key: str) -> None:
        if len(deleted) == 2:
            raise KeyboardInterrupt
        deleted.append(key)
        delete(store, key)

    monkeypatch.setattr(FileStore, "delete", interrupted)
    with pytest.raises(KeyboardInterrupt):
        destination.prune()
    monkeypatch.undo()
    assert destination.files(spec) >= {"summary.json"}
    assert destination.rebuilt() == set()
    assert destination.prune() == [spec.id]
    assert destination.files(spec) == set()


@pytest.mark.slow
def test_all_lost_batches_that_are_not_closed_are_rebuilt(destination) -> None:
    closed, known = destination.closed(), destination.open()
    lost = destination.open(), destination.open()
    for spec in lost:
        destination.ledger.batches.forget(spec.id)
    destination.ledger.batches.forget(closed.id)
    assert destination.rebuilt() == {spec.id for spec in lost}
    assert destination.rebuilt() == set()
    assert set(destination.ledger.batches.open_ids()) == {known.id, *(spec.id for spec in lost)}
    assert batch_files.ids(open_store(known.destination)) == sorted(
        spec.id for spec in (closed, known, *lost)
    )


def test_pruning_needs_no_redis(destination) -> None:
    spec = destination.closed()
    destination.lose()
    time.sleep(0.01)
    assert [row.batch for row in prune(None, str(destination.folder), 0, destination.note)] == [
        spec.id
    ]


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff"])
def test_a_damaged_batch_stops_no_other(destination, content: bytes) -> None:
    """Neither a rebuilding nor a pruning of all."""
    specs = sorted([destination.closed() for _ in range(3)], key=lambda spec: spec.id)
    destination.damage(specs[1], "summary.json", content)
    assert destination.prune() == [specs[0].id, specs[2].id]
    assert destination.damaged == [specs[1].id]

    open_ones = sorted([destination.open() for _ in range(3)], key=lambda spec: spec.id)
    destination.lose()
    destination.damage(open_ones[1], "batch.json", content)
    assert destination.rebuilt() == {open_ones[0].id, open_ones[2].id}
    assert set(destination.damaged) == {specs[1].id, open_ones[1].id}
