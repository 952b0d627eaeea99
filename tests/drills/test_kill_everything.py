"""Every process of a cluster is killed once in every phase of a large batch.

The photographs do not exist. A worker whose images cost nothing and a consumer that makes a
worker's calls to the ledger (both of `bench/`) settle their lines.
"""

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from support.drill import Drill
from support.faults import HttpProxy
from support.services import S3Server, until

from contract import names
from contract.batch import BatchSpec
from producer.dispatch.dispatcher import LEASE_SECONDS
from producer.dispatch.report_lease import REPORT_LEASE_SECONDS

BENCH = Path(__file__).parents[2] / "bench"
TIMES = {"CUTOUT_VISIBILITY_TIMEOUT": "6", "CUTOUT_TIME_LIMIT": "4"}
NAME = "spring"


class Gate:
    """Holds the requests to the storage that write one kind of file, until it is opened."""

    def __init__(self, proxy: HttpProxy, file: str) -> None:
        self._file = file
        self._arrived, self._open = threading.Event(), threading.Event()
        proxy.before = self._hold

    def _hold(self, method: str, path: str) -> None:
        if method == "PUT" and self._file in path:
            self._arrived.set()
            self._open.wait()

    def wait(self) -> None:
        """Wait until the first request is held."""
        until(self._arrived.is_set, 900, pause=0.01)

    def open(self) -> None:
        self._open.set()


class Fleet:
    """The processes of a batch, each of which can be killed and started again."""

    def __init__(self, drill: Drill, manifest: Path, bucket: str) -> None:
        self._cluster = drill.cluster
        self._submit = (
            "-m", "producer", "submit", str(drill.catalogue), f"s3://{bucket}",
            "--manifest", str(manifest), "--name", NAME,
        )  # fmt: skip

    def start(self, name: str) -> None:
        match name:
            case "redis":
                self._cluster.redis.start()
            case "dispatcher":
                self._cluster.start_dispatcher()
            case "submit":
                self._cluster.start_python(name, *self._submit)
            case "worker":
                program = str(BENCH / "no_op_worker.py")
                self._cluster.start_python(name, program, "worker", "--concurrency", "2")
            case "consumer":
                self._cluster.start_python(name, str(BENCH / "instant_consumer.py"))

    def kill(self, name: str) -> None:
        if name == "redis":
            self._cluster.redis.stop(signal.SIGKILL)
        else:
            self._cluster.kill(name)

    def replace(self, *killed: str) -> None:
        """SIGKILL processes one after the other, and start each again."""
        for name in killed:
            self.kill(name)
            self.start(name)


@pytest.fixture
def storage(moto_server: S3Server, drill: Drill, monkeypatch) -> Iterator[HttpProxy]:
    moto_server.select(monkeypatch)
    with HttpProxy(moto_server.url) as proxy:
        drill.cluster.env.update(TIMES, AWS_ENDPOINT_URL=proxy.url)
        yield proxy


def write_manifest(path: Path, count: int) -> None:
    rows = (f"shelf-{n // 1000}/{n:08d}.jpg,{100_000 + n},{n:032x}\n" for n in range(count))
    with path.open("w") as file:
        file.write("key,size,etag\n")
        file.writelines(rows)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_every_process_is_killed_in_every_phase(
    drill: Drill, storage: HttpProxy, tmp_path: Path
) -> None:
    count = drill.size(5000, 200_000)
    write_manifest(tmp_path / "manifest.csv", count)
    bucket = f"killed-{time.time_ns()}"
    boto3.session.Session().client("s3").create_bucket(Bucket=bucket)
    fleet = Fleet(drill, tmp_path / "manifest.csv", bucket)
    for name in ("dispatcher", "worker", "consumer"):
        fleet.start(name)
    until(lambda: len(drill.cluster.ledger.workers.list()) == 2)

    spec = registered(drill, fleet, storage)
    assert spec.total == count
    report = Gate(storage, "/report.csv")
    for fifth, name in enumerate(("consumer", "dispatcher", "redis", "worker"), 1):
        drill.settled(spec, count * fifth // 5, 900)
        fleet.replace(name)
    took = reported(drill, fleet, storage, spec, report)

    rows = [int(row["line"]) for row in drill.cluster.report(spec)]
    assert sorted(rows) == list(range(count))
    counts = drill.audit(spec, share=0)  # there are no outputs
    assert counts["done"] == count
    injected = (
        "SIGKILL to submit, dispatcher, worker, consumer and Redis while"
        f" {count:,} lines are registered, processed and reported; from the last kill"
    )
    drill.row(spec, injected, 30, took, "s", counts)


def registered(drill: Drill, fleet: Fleet, storage: HttpProxy) -> BatchSpec:
    """Kill every process while a `submit` writes the manifest, and Redis during the next one."""
    gate = Gate(storage, "/manifest/")
    fleet.start("submit")
    gate.wait()
    fleet.replace("redis", "dispatcher", "worker", "consumer")
    fleet.kill("submit")
    gate.open()
    (batch,) = drill.cluster.ledger.listings.ids()
    # the lease of the dead process blocks the next one for a while; the drill does not wait
    drill.cluster.ledger.connection.client.delete(names.redis_key(batch, "lister"))
    gate = Gate(storage, "/manifest/")
    fleet.start("submit")
    gate.wait()
    fleet.replace("redis")
    gate.open()
    assert drill.cluster.processes.pop("submit").wait(600) == 0, drill.cluster.log("submit")
    assert drill.cluster.ledger.batches.ids() == [batch]
    return drill.cluster.ledger.batches.progress(batch).spec


def reported(drill: Drill, fleet: Fleet, storage: HttpProxy, spec: BatchSpec, gate: Gate) -> float:
    """Kill every process while the report is written, and Redis while it is written again.

    `gate`: holds the first report. Returns the seconds from the last kill to the closed batch.
    """
    gate.wait()
    fleet.replace("consumer", "worker", "redis", "dispatcher")
    gate.open()
    assert drill.progress(spec).state == "open"
    gate = Gate(storage, "/report.csv")
    gate.wait()
    fleet.replace("redis")
    gate.open()
    start = time.monotonic()
    drill.closed(spec, LEASE_SECONDS + REPORT_LEASE_SECONDS + 600)
    return time.monotonic() - start
