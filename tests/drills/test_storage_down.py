"""The object storage goes away in the middle of a batch."""

from pathlib import Path

import pytest
from support.catalogue import photograph
from support.cluster import Cluster
from support.services import S3Server, free_port, rclone, until


@pytest.fixture
def bucket_of_three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a context manager factory: each serves the same bucket with three photographs."""
    for number in range(3):
        photograph(tmp_path / f"buckets/photographs/{number}.jpg", number)
    port = free_port()
    S3Server(f"http://127.0.0.1:{port}").select(monkeypatch)
    return lambda: rclone(tmp_path / "buckets", port)


def test_images_wait_for_storage_that_comes_back(
    cluster: Cluster, bucket_of_three, tmp_path
) -> None:
    with bucket_of_three():
        spec = cluster.submit("s3://photographs", tmp_path / "out")
    cluster.start_dispatcher()
    cluster.start_worker()
    until(lambda: "image deferred" in cluster.log("worker"))
    with bucket_of_three():
        progress = until(lambda: cluster.closed(spec))

    assert (progress.done, progress.failed) == (3, 0)
    assert max(int(row["attempts"]) for row in cluster.report(spec)) > 1


def test_images_fail_by_name_once_their_retries_are_used_up(
    cluster: Cluster, bucket_of_three, tmp_path
) -> None:
    with bucket_of_three():
        spec = cluster.submit("s3://photographs", tmp_path / "out")
    cluster.start_dispatcher()
    cluster.start_worker(CUTOUT_RETRY_BUDGET="1")

    progress = until(lambda: cluster.closed(spec), 120)

    assert (progress.done, progress.failed) == (0, 3)
    for row in cluster.report(spec):
        assert (row["code"], row["attempts"]) == ("exhausted", "2")
        assert "storage_unavailable" in row["message"]
    assert "Traceback" not in cluster.log("worker")
