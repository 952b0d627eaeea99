"""The stand-in network and the harmful photographs of `support.stand_in`."""

import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from support import stand_in
from support.catalogue import photograph
from support.cluster import STAND_IN, Cluster
from support.services import until

from contract.batch import BatchSpec
from contract.errors import CutoutError
from contract.job import ImageJob, ManifestLine
from contract.ledger.memory import MemoryLedger
from contract.recipe import Recipe
from contract.settings import settings
from producer.batches.report.rows import current
from worker.cpu.slots import CpuSlots
from worker.imaging.decode import Limits
from worker.models import registry, weights
from worker.models.session import Session
from worker.process import process
from worker.runtime import Runtime

COUNT = 60


@pytest.fixture
def session(tmp_path, monkeypatch) -> Session:
    monkeypatch.setitem(registry.MODELS, stand_in.MODEL, registry.find(stand_in.MODEL))
    monkeypatch.setenv("CUTOUT_MODEL_DIR", str(tmp_path / "models"))
    stand_in.install(tmp_path / "models")
    model = registry.find(stand_in.MODEL)
    path = tmp_path / "models" / model.file
    return Session(model, path, weights.verify(path, model), 1)


def test_an_image_goes_all_the_way(session, catalogue, tmp_path) -> None:
    photograph(catalogue / "a.jpg")
    ledger = MemoryLedger()
    runtime = Runtime(
        settings(), ledger, session, Limits(pixels=10**6), CpuSlots(1), False, "a-1:", "a"
    )
    job = ImageJob(
        batch="b-20260101-000000-00000a", line=0,
        source=str(catalogue), destination=str(tmp_path / "out"),
        photograph=ManifestLine(key="a.jpg", size=1, etag="e"), recipe=Recipe(model=stand_in.MODEL),
        force=True,
    )  # fmt: skip
    ledger.batches.register(
        BatchSpec(
            id=job.batch, source=job.source, destination=job.destination, recipe=job.recipe,
            created=0, total=1, segment_lines=1,
        )
    )  # fmt: skip
    ledger.batches.open(job.batch)
    outcome = process(job, runtime)

    assert outcome.status == "done"
    alpha = Image.open(tmp_path / "out/a.png").getchannel("A")
    assert alpha.size == (160, 120)
    assert alpha.getpixel((80, 60)) > 200
    assert alpha.getpixel((2, 2)) < 55


def test_another_file_is_not_accepted_as_the_stand_in(session, tmp_path) -> None:
    (tmp_path / "models/u2netp.onnx").write_bytes(b"other weights")
    stand_in.install(tmp_path / "models")
    with pytest.raises(CutoutError) as caught:
        weights.verify(tmp_path / "models/u2netp.onnx", registry.find(stand_in.MODEL))
    assert caught.value.code == "model_mismatch"


def test_onnx_runtime_out_of_memory_is_a_memory_error(session) -> None:
    with pytest.raises(MemoryError) as caught:
        stand_in.ort()
    assert type(caught.value.__cause__).__name__ == "Fail"  # a plain Exception of ONNX Runtime's
    assert "Failed to allocate memory for requested buffer" in str(caught.value.__cause__)


LISTENER = """
import signal, stand_in, sys
if sys.argv[1] == "hang":
    signal.signal(signal.SIGALRM, lambda *_: print("heard", flush=True))
    signal.alarm(1)
print("here", flush=True)
stand_in.obey(b"#drill:" + sys.argv[1].encode())
"""


def run(fault: str, **options) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", LISTENER, fault], cwd=Path(stand_in.__file__).parent, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
    )  # fmt: skip


@pytest.mark.parametrize(("fault", "signal"), [("segfault", 11), ("kill", 9)])
def test_a_fault_ends_its_process(fault, signal) -> None:
    assert run(fault).wait(10) == -signal


def test_memory_is_taken_in_earnest_below_a_limit() -> None:
    limit = 1 << 29
    process = run(
        "memory", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    )
    _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "hoard.append" in said
    assert said.strip().endswith("MemoryError")


def test_a_hanging_image_hears_no_signal() -> None:
    process = run("hang")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2.5)
    process.terminate()
    assert process.communicate(timeout=10)[0] == "here\n"


def test_a_slow_image_is_decoded_in_the_end(catalogue) -> None:
    photograph(catalogue / "a.jpg")
    stand_in.mark(catalogue / "a.jpg", "slow:0.2")
    start = time.monotonic()
    size = stand_in.harmful(len)((catalogue / "a.jpg").read_bytes())
    assert size == (catalogue / "a.jpg").stat().st_size
    assert time.monotonic() - start >= 0.2


def test_a_batch_runs_in_seconds(quick_cluster: Cluster, catalogue, tmp_path) -> None:
    for number in range(COUNT):
        photograph(catalogue / f"{number:03}.jpg", number)
    quick_cluster.start_worker()
    until(lambda: quick_cluster.titled("idle"))
    spec = quick_cluster.submit(catalogue, tmp_path / "out")
    quick_cluster.start_dispatcher()
    until(lambda: quick_cluster.closed(spec))

    rows = quick_cluster.report(spec)
    assert len({row["key"] for row in rows}) == COUNT
    assert {row["status"] for row in rows} == {"done"}


def test_marked_photographs_do_harm(quick_cluster: Cluster, catalogue, tmp_path) -> None:
    for name in ("sound", "segfault", "memory", "ort"):
        photograph(catalogue / f"{name}.jpg")
        if name != "sound":
            stand_in.mark(catalogue / f"{name}.jpg", name)
    spec = quick_cluster.submit(catalogue, tmp_path / "out")
    quick_cluster.start_worker(1, CUTOUT_RETRY_BUDGET="0")
    quick_cluster.start_dispatcher()

    until(lambda: quick_cluster.ledger.batches.progress(spec.id).settled >= 3)

    ended = quick_cluster.log("worker").count
    assert ended("exited with 'signal") == ended("exited with 'signal 11 (SIGSEGV)'") >= 1
    settled = {row.key: row for row in current(quick_cluster.ledger, spec)}
    assert settled["sound.jpg"].status == "done"
    for name in ("memory", "ort"):
        assert settled[f"{name}.jpg"].code == "exhausted"
        assert "out_of_memory" in settled[f"{name}.jpg"].message


def test_a_safeguard_can_be_switched_off(monkeypatch, capsys) -> None:
    from producer.dispatch.line_publisher import LinePublisher

    kept = LinePublisher.republish
    monkeypatch.setattr(LinePublisher, "republish", kept)  # put back afterwards
    monkeypatch.setattr(sys, "argv", [str(STAND_IN), "--help"])
    monkeypatch.setenv("DRILL_WITHOUT", "reconciler")
    with pytest.raises(SystemExit):
        stand_in.main()
    assert LinePublisher.republish is not kept
    monkeypatch.setenv("DRILL_WITHOUT", "reconcilor")
    with pytest.raises(KeyError):
        stand_in.main()


def test_a_worker_without_its_provider_does_not_start(quick_cluster: Cluster) -> None:
    quick_cluster.start_worker(1, CUTOUT_PROVIDERS="cuda,cpu")
    assert quick_cluster.processes["worker"].wait(120) == 1
    assert "provider_missing: The provider 'cuda' is not installed." in quick_cluster.log("worker")
