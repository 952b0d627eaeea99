"""What must not spread: one broken worker, one broken batch, one secret."""

import json
import logging

import pytest
import structlog
from support.catalogue import photograph
from support.cluster import Cluster
from support.services import until

from contract import log, names
from contract.ledger.protocol import Worker
from contract.ledger.redis_ledger import RedisLedger
from contract.ledger.workers import WorkerRegistry
from contract.outcome import Outcome, Status
from contract.recipe import recipe_for
from contract.settings import Settings
from producer.batches import reports
from producer.batches.register import register
from producer.dispatch import dispatcher


def test_a_worker_that_cannot_load_its_model_ends_and_eats_no_job(
    cluster: Cluster, weights, catalogue, tmp_path
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "u2netp.onnx").write_bytes((weights / "u2netp.onnx").read_bytes())
    for number in range(4):
        photograph(catalogue / f"{number}.jpg", number)
    cluster.start_worker(1, "broken", CUTOUT_MODEL_DIR=str(folder))
    child = until(lambda: next(iter(cluster.children("broken")), None))
    until(lambda: "idle" in " ".join(child.cmdline()))
    (folder / "u2netp.onnx").unlink()
    child.kill()  # its replacement finds no weights
    assert cluster.processes.pop("broken").wait(60) == 0
    assert "the model cannot be loaded" in cluster.log("broken")

    spec = cluster.submit(catalogue, tmp_path / "out")
    cluster.start_dispatcher()
    cluster.start_worker()
    progress = until(lambda: cluster.closed(spec), 60)

    assert progress.done == 4


def test_a_broken_batch_holds_up_no_other(cluster: Cluster, catalogue, tmp_path) -> None:
    photograph(catalogue / "a.jpg")
    broken = cluster.submit(catalogue, tmp_path / "broken")
    manifest = tmp_path / "broken" / names.manifest_key(broken.id, 0)
    manifest.write_bytes(manifest.read_bytes()[:-20])
    sound = cluster.submit(catalogue, tmp_path / "sound")
    cluster.ledger.connection.client.rpush(names.bulk_queue("u2netp"), "junk")
    cluster.start_dispatcher()

    until(lambda: cluster.ledger.batches.progress(sound.id).issued == 1)

    trouble = until(lambda: cluster.ledger.batches.progress(broken.id).stalled_reason)
    assert trouble == "ValidationError"
    assert cluster.processes["dispatcher"].poll() is None


def test_a_pause_keeps_its_reason_while_the_report_cannot_be_written(
    ledger: RedisLedger, catalogue, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(dispatcher, "DRAIN_ROWS", 1)
    monkeypatch.setattr(dispatcher, "REST_SECONDS", 0)
    photograph(catalogue / "a.jpg")
    photograph(catalogue / "b.jpg")
    spec = register(ledger, str(catalogue), str(tmp_path / "out"), recipe_for("u2netp"))
    ledger.lines.finish(spec.id, Outcome(line=0, key="a.jpg", status=Status.DONE))
    obstacle = tmp_path / "out" / names.outcomes_prefix(spec.id)
    obstacle.write_text("no folder")
    ledger.batches.pause(spec.id, "the reason")
    dispatching = dispatcher.Dispatcher(ledger, Settings())

    dispatching.tick()
    assert ledger.waiting_outcomes(spec.id)
    assert ledger.batches.progress(spec.id).stalled_reason == "the reason"
    obstacle.unlink()
    dispatching.tick()
    assert not ledger.waiting_outcomes(spec.id)
    assert ledger.batches.progress(spec.id).stalled_reason == "the reason"


def test_a_batch_without_workers_says_which_one_it_wants(
    ledger: RedisLedger, catalogue, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(dispatcher, "START_SECONDS", 0)
    monkeypatch.setattr(dispatcher, "publish", lambda *_: 0)
    photograph(catalogue / "a.jpg")
    spec = register(ledger, str(catalogue), str(tmp_path / "out"), recipe_for("u2netp"))
    dispatching = dispatcher.Dispatcher(ledger, Settings())
    dispatching.tick()
    assert "`CUTOUT_MODEL=u2netp cutout worker`" in ledger.batches.progress(spec.id).stalled_reason

    here = Worker(name="w", queue="bulk.u2netp", children=1, clock_skew=0)
    WorkerRegistry(ledger.connection).announce(here)
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

    class Slow:
        """A ledger as a dispatcher saw it that was held up before its write."""

        def outcomes(self, *_: object) -> list[tuple[str, str]]:
            return seen

        def drop_outcomes(self, batch: str, last: str) -> None:
            ledger.lines.drop_outcomes(batch, last)

    for line in range(2):
        settle(line)
    seen = ledger.lines.outcomes(spec.id, 10)
    for line in range(2, 5):
        settle(line)
    assert reports.drain(ledger, spec)
    assert reports.drain(Slow(), spec)

    assert sorted(o.line for o in reports.current(ledger, spec)) == [0, 1, 2, 3, 4]
    assert ledger.batches.progress(spec.id).done == 5


@pytest.fixture
def own_logging():
    """Lets a test configure logging, and puts back what was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_a_traceback_shows_no_secret(own_logging, capsys, monkeypatch) -> None:
    monkeypatch.setenv("CUTOUT_REDIS_URL", "redis://:S3CRET@host/0")
    for form in ("human", "json"):
        monkeypatch.setenv("CUTOUT_LOG_FORMAT", form)
        config = Settings()
        log.configure(config)
        try:
            {}["something of ours"]
        except KeyError as error:
            structlog.get_logger().error("unexpected", exc_info=error)
        said = capsys.readouterr().err
        assert "KeyError" in said
        assert "S3CRET" not in said + repr(config)
    assert json.loads(said)["event"] == "unexpected"
