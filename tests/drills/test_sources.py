"""Every kind of source registers the same keys, while storage is slow and fails now and then."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import manifests, s3_stand_in
from support.drill import Drill
from support.faults import HttpProxy, delay, status
from support.services import S3Server, free_port, served

from contract.storage import open_store
from contract.storage.batch_files import manifest_lines
from producer.batches import control

PAGE_SECONDS = 0.2
FAILING_SHARE = 0.05
BUCKET = "photographs"


class Sources:
    """A bucket with many keys behind a slow and failing proxy, and a folder with the same keys."""

    def __init__(self, drill: Drill, proxy: HttpProxy, count: int) -> None:
        self.drill, self.proxy = drill, proxy
        self.keys = [key.removeprefix("in/") for key in s3_stand_in.generated_keys(count)]
        self.env = S3Server(proxy.url).environment

    def put(self, key: str, data: bytes) -> str:
        store = open_store(f"s3://{BUCKET}")
        store.put(key, data, "application/octet-stream")
        return f"s3://{BUCKET}/{key}"

    def submit(self, source: str, *options: str, stdin: bytes | None = None) -> list[str]:
        """Run `cutout submit`; return the keys of the batch's manifest, sorted."""
        destination = f"s3://{BUCKET}/out-{time.monotonic_ns()}"
        command = [sys.executable, "-m", "producer", "submit", source, destination, "--json"]
        answer = subprocess.run(
            [*command, *options], env=self.drill.cluster.environment(**self.env), check=False,
            capture_output=True, input=stdin,
        )  # fmt: skip
        assert answer.returncode == 0, answer.stderr.decode()
        counts = json.loads(answer.stdout)
        spec = self.drill.cluster.ledger.batches.progress(counts["batch"]).spec
        lines = [line.key for n in range(spec.segments) for line in manifest_lines(spec, n)]
        assert (len(lines), counts["ignored"]) == (counts["total"], 0)
        control.cancel(self.drill.cluster.ledger, spec.id)
        return sorted(lines)


@pytest.fixture
def sources(drill: Drill, monkeypatch) -> Iterator[Sources]:
    count, port = drill.size(2000, 100_000), free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, s3_stand_in.__file__, str(port), str(count)]
    with served(command, url, {}), HttpProxy(url) as proxy:
        S3Server(proxy.url).select(monkeypatch)
        slow_sources = Sources(drill, proxy, count)
        proxy.add(status(503), probability=FAILING_SHARE, seed=7)
        proxy.add(delay(PAGE_SECONDS), methods=["GET"], path="list-type")
        yield slow_sources


def test_a_bucket(sources: Sources) -> None:
    assert sources.submit(f"s3://{BUCKET}/in") == sources.keys


def test_a_folder(sources: Sources) -> None:
    folder = sources.drill.catalogue
    for shelf in {key.partition("/")[0] for key in sources.keys}:
        (folder / shelf).mkdir()
    for key in sources.keys:
        (folder / key).touch()
    assert sources.submit(str(folder)) == sources.keys


@pytest.mark.parametrize("form", manifests.FORMATS)
def test_a_manifest(sources: Sources, form: str, tmp_path: Path) -> None:
    """From a file, a bucket and standard input; in the short form with one compression."""
    number = manifests.FORMATS.index(form)
    compressions = manifests.COMPRESSIONS
    if not sources.drill.full:
        compressions = compressions[number % 3 :][:1]
    for turn, compression in enumerate(compressions, number):
        data = manifests.manifest(sources.keys, form, compression)
        if turn % 3 == 0:
            path = tmp_path / "list"
            path.write_bytes(data)
            submitted = sources.submit(f"s3://{BUCKET}/in", "--manifest", str(path))
        elif turn % 3 == 1:
            location = sources.put(f"lists/{form}{compression}", data)
            submitted = sources.submit(f"s3://{BUCKET}/in", "--manifest", location)
        else:
            submitted = sources.submit(f"s3://{BUCKET}/in", "--manifest", "-", stdin=data)
        assert submitted == sources.keys


@pytest.mark.parametrize("form", ["CSV", "Parquet"])
def test_an_inventory(sources: Sources, form: str) -> None:
    keys = [f"in/{key}" for key in sources.keys]
    for key, data in manifests.inventory(keys, form, BUCKET, BUCKET).items():
        location = sources.put(key, data)
    assert sources.submit(f"s3://{BUCKET}/in", "--manifest", location) == sources.keys
