"""A broken worker or a broken batch does not disturb the others."""

from support.catalogue import photograph
from support.cluster import Cluster
from support.services import until

from contract import names


def test_a_worker_that_cannot_load_its_model_ends_and_loses_no_job(
    cluster: Cluster, weights, catalogue, tmp_path
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "u2netp.onnx").write_bytes((weights / "u2netp.onnx").read_bytes())
    for number in range(4):
        photograph(catalogue / f"{number}.jpg", number)
    cluster.start_worker(1, "broken", CUTOUT_MODEL_DIR=str(folder))
    child = until(lambda: cluster.titled("idle", "broken"))
    (folder / "u2netp.onnx").unlink()
    child.kill()  # its replacement finds no weights
    assert cluster.processes.pop("broken").wait(60) == 1
    assert "model not loaded" in cluster.log("broken")

    spec = cluster.submit(catalogue, tmp_path / "out")
    cluster.start_dispatcher()
    cluster.start_worker()
    progress = until(lambda: cluster.closed(spec))

    assert progress.done == 4


def test_a_broken_batch_holds_up_no_other(cluster: Cluster, catalogue, tmp_path) -> None:
    photograph(catalogue / "a.jpg")
    broken = cluster.submit(catalogue, tmp_path / "broken")
    manifest = tmp_path / "broken" / broken.manifest_key(0)
    manifest.write_bytes(manifest.read_bytes()[:-20])
    sound = cluster.submit(catalogue, tmp_path / "sound")
    cluster.ledger.connection.client.rpush(names.bulk_queue("u2netp"), "junk")
    cluster.start_dispatcher()

    until(lambda: cluster.ledger.batches.progress(sound.id).issued == 1)

    reason = until(lambda: cluster.ledger.batches.progress(broken.id).stalled_reason)
    assert "is damaged: it is not a complete gzip file" in reason
    assert cluster.processes["dispatcher"].poll() is None
