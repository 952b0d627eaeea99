"""Object storage that refuses, stalls, truncates, loses and fills up, in the middle of a batch."""

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.catalogue import photograph
from support.drill import Drill
from support.faults import (
    Answer,
    HttpProxy,
    NoAnswer,
    close,
    delay,
    hang,
    rewrite,
    status,
    truncate,
)
from support.services import missing, rclone, until

from contract import names
from contract.batch import BatchSpec
from contract.outcome import Outcome
from contract.storage import open_store
from contract.storage.s3 import client
from producer.dispatch.reasons import THROTTLED

TENTH = {"DRILL_WITHOUT": "timeouts"}
"""For short forms: a tenth of the read timeout, and of the pause of a batch."""


@pytest.fixture
def storage(drill: Drill, tmp_path, monkeypatch) -> Iterator[HttpProxy]:
    """The two folders as buckets: for the cluster through a proxy, for the test directly."""
    drill.out.mkdir()
    drill.locations = "s3://catalogue", "s3://out"
    with rclone(tmp_path) as server, HttpProxy(server.url) as proxy:
        server.select(monkeypatch)
        yield proxy


def start(drill: Drill, storage: HttpProxy, **env: str) -> None:
    drill.cluster.start_dispatcher(AWS_ENDPOINT_URL=storage.url, **env)
    drill.cluster.start_worker(AWS_ENDPOINT_URL=storage.url, **env)


def attempts(drill: Drill, spec: BatchSpec) -> int:
    """Return the largest number of attempts of an image."""
    return max(row.attempts for row in drill.outcomes(spec).values())


def stalled(drill: Drill, spec: BatchSpec) -> str:
    """Return the state and the stalled reason as `cutout status` prints them."""
    shown = json.loads(drill.cutout("status", spec.id, "--json").stdout)
    return f"{shown['state']}: {shown['stalled_reason']}"


def failures(drill: Drill, spec: BatchSpec) -> dict[str, Outcome]:
    return {key: row for key, row in drill.outcomes(spec).items() if row.status == "failed"}


@pytest.mark.long
def test_storage_is_overloaded(drill: Drill, storage: HttpProxy) -> None:
    count = drill.size(120, 2000)
    drill.fill(count)
    spec = drill.submit()
    start(drill, storage)
    drill.settled(spec, 10)
    calm = drill.settled(spec, count // 2, 600)
    storage.add(status(503), probability=0.05, seed=1)
    storage.add(status(500), probability=0.05, seed=2)
    faulty = drill.settled(spec, count, 900)
    drill.closed(spec)

    if drill.full:
        assert attempts(drill, spec) > 1  # in the short form, luck decides
    # on average boto3 waits 0.5 s before its second try, and an image takes three requests
    bound = calm + count / 2 * 0.3 + 60
    injected = f"503 and 500 on 10 % of all requests, {count // 2:,} images (calm: {calm:.0f} s)"
    assert drill.passed(spec, injected, bound, faulty)["done"] == count


@pytest.mark.long
def test_storage_fails_every_other_request(drill: Drill, storage: HttpProxy) -> None:
    """More than boto3's second try can fix, so the queue's retries must."""
    count = drill.size(30, 300)
    drill.fill(count)
    spec = drill.submit()
    start(drill, storage)
    storage.add(status(503), path=".jpg", probability=0.5, seed=1)
    took = drill.settled(spec, count, 600)
    drill.closed(spec)

    assert attempts(drill, spec) > 1
    assert not failures(drill, spec)  # none `exhausted`
    injected = f"503 on half of the reads, {count} images"
    assert drill.passed(spec, injected, 30 + count, took)["done"] == count


class Capacity:
    """Takes `rate` requests for images per second, like a partition of S3."""

    def __init__(self, rate: float) -> None:
        self._rate = self._left = rate
        self._moment = time.monotonic()
        self._lock = threading.Lock()

    def exceeded(self, path: str) -> bool:
        if not is_image_request(path):
            return False
        with self._lock:
            moment = time.monotonic()
            self._left = min(self._rate, self._left + self._rate * (moment - self._moment))
            self._moment = moment
            if self._left < 1:
                return True
            self._left -= 1
            return False


def is_image_request(path: str) -> bool:
    return "_cutout" not in path and "list-type" not in path


def test_slowdown_night(drill: Drill, storage: HttpProxy) -> None:
    """Eight children send far more requests than the storage takes."""
    count = drill.size(60, 300)
    drill.fill(count)
    drill.cluster.env["CUTOUT_RETRY_DELAY"] = "2"  # the default
    spec = drill.submit()
    storage.add(status(503), path=is_image_request, probability=0.1, seed=1)
    storage.add(status(503), path=Capacity(10).exceeded)
    storage.add(delay(0.1))
    drill.cluster.start_dispatcher(AWS_ENDPOINT_URL=storage.url)
    drill.cluster.start_worker(8, AWS_ENDPOINT_URL=storage.url)
    until(lambda: drill.progress(spec).stalled_reason == THROTTLED, 120, pause=0.05)
    drill.closed(spec, 900)

    exhausted = len(failures(drill, spec))
    injected = f"SlowDown on 10 % of the requests, and on those above 10/s; {count:,} images"
    assert drill.passed(spec, injected, 0, exhausted, "exhausted")["done"] == count


def test_storage_is_down_and_the_operator_resumes(drill: Drill, storage: HttpProxy) -> None:
    count = drill.size(120, 2000)
    drill.fill(count)
    spec = drill.submit()
    start(drill, storage)
    drill.settled(spec, count // 4, 300)
    storage.add(status(503))
    harmed = time.monotonic()
    progress = drill.paused(spec)
    took = time.monotonic() - harmed
    said = stalled(drill, spec)
    assert said.startswith("paused: ")
    assert "attempts failed with storage_unavailable" in said
    assert progress.retry_at is not None
    assert (progress.failed, progress.stalled_reason) == (0, said.removeprefix("paused: "))
    storage.clear()
    assert drill.cutout("resume", spec.id).returncode == 0
    assert drill.closed(spec, 300).done == count

    drill.passed(spec, "503 on all requests: until the batch pauses itself", 30, took)


@pytest.mark.long
def test_storage_is_down_and_nobody_resumes(drill: Drill, storage: HttpProxy) -> None:
    retry_seconds = drill.size(6, 60)
    count = drill.size(100, 2000)
    drill.fill(count)
    spec = drill.submit()
    start(drill, storage, **({} if drill.full else TENTH))
    drill.settled(spec, count // 4, 300)
    storage.add(status(503))
    first = drill.paused(spec)
    until(lambda: drill.progress(spec).state == "open", retry_seconds + 10, pause=0.05)
    second = drill.paused(spec)  # a resume while storage is still down fails no image either
    assert second.retry_at > first.retry_at
    assert second.failed == 0
    storage.clear()
    recovered = time.monotonic()
    drill.settled(spec, second.settled + 1)
    took = time.monotonic() - recovered

    assert drill.closed(spec, 300).done == count
    assert not drill.progress(spec).stalled_reason
    drill.passed(
        spec, "503 on all requests: from recovery to the automatic resume", retry_seconds + 15, took
    )


@pytest.mark.long
def test_an_outage_fails_image_after_image_without_the_breaker(
    drill: Drill, storage: HttpProxy
) -> None:
    """A test of the two above: without the breaker, all images fail."""
    drill.fill(60)
    spec = drill.submit()
    storage.add(status(503), path=".jpg")
    start(drill, storage, DRILL_WITHOUT="breaker", CUTOUT_RETRY_BUDGET="0")

    assert drill.closed(spec).failed == 60


def test_the_destination_refuses_every_write(drill: Drill, storage: HttpProxy) -> None:
    count = drill.size(120, 2000)
    drill.fill(count)
    spec = drill.submit()
    start(drill, storage)
    drill.settled(spec, count // 4, 300)
    storage.add(status(403), methods={"PUT"})
    drill.paused(spec)
    until(lambda: not drill.progress(spec).claimed)
    failed = drill.progress(spec).failed
    assert {row.code for row in failures(drill, spec).values()} <= {"access_denied"}
    said = stalled(drill, spec)
    assert "access_denied" in said
    assert "`cutout resume`" in said
    assert drill.progress(spec).retry_at is None  # an operator must fix it
    time.sleep(drill.size(2, 75))
    assert drill.progress(spec).state == "paused"
    assert drill.progress(spec).failed == failed

    storage.clear()
    assert drill.cutout("resume", spec.id).returncode == 0
    drill.closed(spec, 300)
    assert drill.progress(spec).done == count - failed
    answer = drill.cutout("retry", spec.id, "--code", "access_denied")
    assert answer.stdout == f"{failed} images will be retried.\n"
    drill.closed(spec)

    rows = drill.cluster.report(spec)
    assert sorted(int(row["line"]) for row in rows) == list(range(count))
    assert {row["status"] for row in rows} == {"done"}
    injected = "403 on all PUTs: failed images until it pauses itself"
    assert drill.passed(spec, injected, 60, failed, "images")["done"] == count


@pytest.mark.long
def test_storage_is_slow_and_some_of_it_never_answers(drill: Drill, storage: HttpProxy) -> None:
    count = drill.size(60, 300)
    timeout = 20 if drill.full else 2
    drill.fill(count)
    spec = drill.submit()
    drill.cluster.env.update(CUTOUT_TIME_LIMIT="120", CUTOUT_VISIBILITY_TIMEOUT="300")
    start(drill, storage, **({} if drill.full else TENTH))
    drill.settled(spec, count // 4, 300)
    hanging = storage.add(hang(), probability=0.02, seed=4)
    slow = storage.add(delay(drill.size(3, 30)))
    time.sleep(drill.size(6, 150))
    storage.remove(slow)
    began = time.monotonic()
    drill.closed(spec, 900)
    took = time.monotonic() - began

    assert attempts(drill, spec) > 1
    # two children share the waits for hanging requests
    bound = (hanging.fired / 2 + 2) * (timeout + 1) + 60
    injected = f"{slow.fault.seconds:g} s before every answer for a while, 2 % never answered"
    assert drill.passed(spec, injected, bound, took)["done"] == count


def test_the_time_limit_ends_a_request_that_hangs(drill: Drill, storage: HttpProxy) -> None:
    drill.fill(10)
    spec = drill.submit()
    drill.cluster.env.update(CUTOUT_TIME_LIMIT="5", CUTOUT_VISIBILITY_TIMEOUT="12")
    storage.add(hang(), methods={"PUT"}, path="000003.png", limit=2)
    start(drill, storage)
    drill.cluster.start_quarantine(AWS_ENDPOINT_URL=storage.url)
    began = time.monotonic()
    drill.closed(spec)
    took = time.monotonic() - began

    # the task ended in order each time, and no child was killed
    assert "crash recorded" not in drill.cluster.log("worker")
    # on a busy machine other images may take that long as well
    assert drill.cluster.log("worker").count("It took over 5 s.") >= 2
    assert drill.outcomes(spec)[drill.key(3)].attempts == 3
    assert drill.passed(spec, "a PUT that hangs past the time limit", 20, took)["done"] == 10


@pytest.mark.long
def test_storage_breaks_off(drill: Drill, storage: HttpProxy) -> None:
    count = drill.size(60, 1000)

    def lose(_: Answer) -> Answer:
        raise NoAnswer

    drill.fill(count)
    spec = drill.submit()
    lost = storage.add(rewrite(lose), methods={"PUT"}, probability=0.1, seed=1)
    cut = storage.add(truncate(), path=".jpg", probability=0.1, seed=2)
    storage.add(close(), probability=0.1, seed=3)
    start(drill, storage)
    took = drill.settled(spec, count, 900)
    drill.closed(spec)

    assert lost.fired
    assert cut.fired
    assert attempts(drill, spec) > 1
    injected = f"10 % of GETs truncated, of all cut, of PUT answers lost; {count:,} images"
    assert drill.passed(spec, injected, 60 + 0.4 * count, took)["done"] == count


def test_photographs_vanish_and_change_behind_the_listing(
    drill: Drill, storage: HttpProxy, tmp_path
) -> None:
    count = drill.size(60, 600)
    gone, changed = [drill.key(n) for n in (3, 30, 50)], drill.key(7)
    other = tmp_path / "other.jpg"
    photograph(other, 99, size=(90, 200))
    drill.fill(count)
    spec = drill.submit()
    for key in gone:
        client().delete_object(Bucket="catalogue", Key=key)

    def change(method: str, path: str) -> None:
        """Replace the source between the HEAD of the output and the GET of the source."""
        if method == "HEAD" and path.endswith("000007.png"):
            client().put_object(Bucket="catalogue", Key=changed, Body=other.read_bytes())

    before = client().head_object(Bucket="catalogue", Key=changed)["ETag"]
    storage.before = change
    start(drill, storage)
    took = drill.settled(spec, count, 300)
    drill.closed(spec)

    assert sorted(failures(drill, spec)) == gone
    assert {row.code for row in failures(drill, spec).values()} == {"object_missing"}
    after = client().head_object(Bucket="catalogue", Key=changed)["ETag"].strip('"')
    output = open_store(spec.destination).head(names.output_key(changed))
    row = drill.outcomes(spec)[changed]
    assert before.strip('"') != after == output.metadata["source-etag"] == row.source_etag
    assert (row.width, row.height) == (90, 200)
    counts = drill.passed(spec, "3 sources deleted, 1 replaced after the listing", 120, took)
    assert counts["done"] == count - 3


# folders as destinations


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """A destination on its own file system of 16 MB."""
    folder = tmp_path / "out"
    folder.mkdir()
    mounted = mount("-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder))
    if mounted.returncode:
        missing(f"no file system can be mounted: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def mount(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["mount", *arguments], check=False, capture_output=True, text=True)
    except FileNotFoundError as error:
        return subprocess.CompletedProcess(arguments, 1, "", str(error))


def start_plain(drill: Drill, **env: str) -> None:
    drill.cluster.start_dispatcher(**env)
    drill.cluster.start_worker(**env)


def no_torn_file(out: Path) -> None:
    for path in out.glob("shelf */*.png"):
        data = path.read_bytes()
        assert data.startswith(b"\x89PNG"), path
        assert data.endswith(b"IEND\xaeB`\x82"), path


def test_the_disk_fills_up(disk: Path, drill: Drill) -> None:
    count = 60
    drill.fill(count)
    spec = drill.submit()
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(16 * 1024**2 - 230_000))  # room for about half of the outputs
    start_plain(drill)
    drill.paused(spec)
    no_torn_file(disk)
    full = drill.progress(spec)
    assert full.failed == 0
    assert 0 < full.done < count
    assert "storage_full. No space left" in stalled(drill, spec)
    ballast.unlink()
    began = time.monotonic()
    assert drill.cutout("resume", spec.id).returncode == 0
    assert drill.closed(spec).done == count
    took = time.monotonic() - began

    no_torn_file(disk)
    assert list((disk / "_cutout/unfinished").iterdir()) == []
    injected = f"the destination's disk is full after {full.done} images; then space is freed"
    drill.passed(spec, injected, 30, took)


def test_a_file_lies_where_a_folder_should(drill: Drill) -> None:
    drill.fill(30)
    for number in range(3):
        photograph(drill.catalogue / f"blocked/deep/{number}.jpg", number)
        photograph(drill.catalogue / f"shelf 0/folder {number}.jpg", number)
        (drill.out / f"shelf 0/folder {number}.png").mkdir(parents=True)
    (drill.out / "blocked").write_text("no folder")
    spec = drill.submit()
    start_plain(drill)
    took = drill.settled(spec, spec.total)
    drill.closed(spec)

    failed = failures(drill, spec)
    assert {key.rpartition("/")[0] for key in failed} == {"blocked/deep", "shelf 0"}
    assert {row.code for row in failed.values()} == {"unsafe_key"}
    assert {row.attempts for row in failed.values()} == {1}
    assert (drill.out / "blocked").read_text() == "no folder"
    injected = "files in the place of folders and folders in the place of files"
    assert drill.passed(spec, injected, 60, took)["done"] == 30


def test_the_disk_turns_read_only(disk: Path, drill: Drill) -> None:
    count = drill.size(120, 160)
    drill.fill(count)
    spec = drill.submit()
    start_plain(drill)
    drill.settled(spec, 20)

    def remount(mode: str) -> bool:
        return mount("-o", f"remount,{mode}", str(disk)).returncode == 0

    until(lambda: remount("ro"), pause=0.01)  # busy while a file is being written
    drill.paused(spec)
    until(lambda: not drill.progress(spec).claimed)
    failed = drill.progress(spec).failed
    assert {row.code for row in failures(drill, spec).values()} <= {"access_denied"}
    assert "read-only file system" in drill.cluster.log("worker")
    assert remount("rw")
    assert drill.cutout("resume", spec.id).returncode == 0
    drill.closed(spec)
    drill.cutout("retry", spec.id, "--code", "access_denied")
    drill.closed(spec)

    assert {row["status"] for row in drill.cluster.report(spec)} == {"done"}
    injected = "the destination turns read-only: failed images until it pauses itself"
    assert drill.passed(spec, injected, 60, failed, "images")["done"] == count
