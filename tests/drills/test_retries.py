"""Retries at the same moment, and retries of a batch that is being closed."""

import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from support.drill import Drill
from support.faults import Answer, HttpProxy, rewrite
from support.services import S3Server, until
from support.serving import serving

from contract import names
from contract.batch import BatchSpec


@pytest.fixture
def storage(drill: Drill, moto_server: S3Server, monkeypatch) -> Iterator[HttpProxy]:
    """The destination is a bucket; processes that are given the proxy's URL use it through it."""
    moto_server.select(monkeypatch)
    bucket = f"retries-{time.time_ns()}"
    boto3.session.Session().client("s3").create_bucket(Bucket=bucket)
    drill.locations = str(drill.catalogue), f"s3://{bucket}"
    with HttpProxy(moto_server.url) as proxy:
        yield proxy


@dataclass
class Halves:
    """A batch, every second photograph of which is cut off while it is processed first."""

    spec: BatchSpec
    whole: dict[Path, bytes]

    def restore(self) -> int:
        """Make the photographs whole again; return how many were not."""
        for path, data in self.whole.items():
            path.write_bytes(data)
        return len(self.whole)


def submitted(drill: Drill) -> Halves:
    drill.fill(drill.size(60, 600))
    spec = drill.submit()
    paths = [drill.key_path(number) for number in range(0, spec.total, 2)]
    whole = {path: path.read_bytes() for path in paths}
    for path, data in whole.items():
        path.write_bytes(data[: len(data) // 2])
    return Halves(spec, whole)


def reopened(drill: Drill, *arguments: str) -> int:
    """Run `cutout retry`; return how many images it reopened."""
    answer = drill.cutout("retry", *arguments)
    assert answer.returncode == 0, answer.stderr
    return int(answer.stdout.split()[0].replace(",", ""))


def test_double_retry(drill: Drill, storage: HttpProxy, tmp_path: Path) -> None:
    """Each of three retries has read the failures before the first reopens one.

    One of them goes on only once the images that the others reopened are done.
    """
    batch = submitted(drill)
    spec = batch.spec
    drill.cluster.start_dispatcher()
    drill.cluster.start_worker()
    drill.closed(spec, 600)
    failed = batch.restore()
    assert drill.progress(spec).failed == failed
    together, arrivals = threading.Barrier(3), itertools.count(1)

    def wait_for_the_others(method: str, path: str) -> None:
        """What a retry writes once it has read the failures, before it reopens the first."""
        if method == "PUT" and "/summary.json" in path and (number := next(arrivals)) <= 3:
            together.wait(120)
            if number == 3:
                until(lambda: drill.progress(spec).done == spec.total)

    drill.cluster.env["AWS_ENDPOINT_URL"] = storage.url
    with serving(drill.cluster, tmp_path) as server, ThreadPoolExecutor(3) as pool:
        storage.before = wait_for_the_others
        url, chosen = f"/v1/batches/{spec.id}/retry", {"code": "truncated_image"}
        retries = [
            pool.submit(reopened, drill, spec.id),
            pool.submit(reopened, drill, spec.id, "--code", "truncated_image"),
            pool.submit(lambda: server.client.post(url, json=chosen).json()["reopened"]),
        ]
        counted = sum(retry.result() for retry in retries)
    drill.closed(spec, 600)

    injected = f"two `cutout retry` and one by the API at once, of {failed:,} failed images"
    counts = drill.passed(spec, injected, 0, counted - failed, "counted twice")
    assert counts["done"] == spec.total


@pytest.mark.parametrize("closed_again", [False, True], ids=["open", "closed"])
def test_stale_close(drill: Drill, storage: HttpProxy, closed_again: bool) -> None:
    """A dispatcher is frozen while it writes the report; a retry reopens the failed images.

    It goes on once they are open, or once another dispatcher has closed the batch.
    """
    arrived, release, landed = threading.Event(), threading.Event(), threading.Event()

    def hold(method: str, path: str) -> None:
        if method == "PUT" and "/report.csv" in path:
            arrived.set()
            release.wait()

    def note(answer: Answer) -> Answer:
        landed.set()
        return answer

    storage.before = hold
    storage.add(rewrite(note), {"PUT"}, "/report.csv")
    batch = submitted(drill)
    spec = batch.spec
    drill.cluster.start_dispatcher("frozen", AWS_ENDPOINT_URL=storage.url)
    drill.cluster.start_worker()
    assert arrived.wait(600)
    group = drill.cluster.processes["frozen"].pid
    os.killpg(group, signal.SIGSTOP)
    failed = batch.restore()
    assert reopened(drill, spec.id) == failed
    if closed_again:
        # its lease would block the next one for 15 s; the drill does not wait
        drill.cluster.ledger.connection.client.delete(names.DISPATCHER_LEASE)
        drill.cluster.start_dispatcher("other")
        assert drill.closed(spec, 600).done == spec.total
    release.set()
    assert landed.wait(60)
    assert [row["status"] for row in drill.cluster.report(spec)].count("failed") == failed
    os.killpg(group, signal.SIGCONT)
    said = "another dispatcher may write" if closed_again else "batch changed while its report"
    until(lambda: said in drill.cluster.log("frozen"))
    closed_over = drill.closed(spec, 600).failed
    until(lambda: {row["status"] for row in drill.cluster.report(spec)} == {"done"})

    state = "closed by another dispatcher" if closed_again else "open"
    injected = f"SIGSTOP to a dispatcher that closes, until {failed:,} retried images are {state}"
    counts = drill.passed(spec, injected, 0, closed_over, "closed over")
    assert counts["done"] == spec.total
