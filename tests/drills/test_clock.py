"""A machine whose clock is wrong, simulated for one process by libfaketime.

Only starts are tested: under libfaketime, with one clock shifted and the other not, `sleep` fails.
"""

from pathlib import Path

import pytest
from support.catalogue import photograph
from support.cluster import Cluster
from support.services import missing, until


def wrong_by(seconds: int) -> dict[str, str]:
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if library is None:
        missing("libfaketime is not installed")
    return {
        "LD_PRELOAD": str(library), "FAKETIME": f"{seconds:+d}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }  # fmt: skip


@pytest.mark.parametrize(
    "verb", [("worker", "worker", "--concurrency", "1"), ("producer", "dispatch")]
)
@pytest.mark.parametrize(("seconds", "said"), [(30, "30 s ahead of"), (-20, "20 s behind")])
def test_a_wrong_clock_is_refused(cluster: Cluster, verb, seconds: int, said: str) -> None:
    process = cluster.start("refused", *verb, **wrong_by(seconds))

    assert process.wait(30) == 1
    log = cluster.log("refused")
    assert (
        f"clock_skew: This machine's clock is {said} Redis's. Synchronise the clock with NTP."
        in log
    )
    assert "Traceback" not in log


def test_processes_may_start_before_redis(cluster: Cluster, catalogue, tmp_path) -> None:
    photograph(catalogue / "a.jpg")
    spec = cluster.submit(catalogue, tmp_path / "out")
    cluster.redis.stop()
    cluster.start_dispatcher()
    cluster.start_worker(1)
    until(lambda: "clock not checked" in cluster.log("worker"))
    until(lambda: "clock not checked" in cluster.log("dispatcher"))
    cluster.redis.start()
    assert until(lambda: cluster.closed(spec)).done == 1
