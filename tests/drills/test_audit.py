"""`cutout audit` finds each way in which a finished batch can be wrong."""

import gzip
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from support.drill import Drill

from contract import names
from contract.batch import BatchSpec
from worker.audit import audit

COUNT = 6
KEY = "shelf 0/000003"


class Spoiler:
    """Access to what a finished batch left in Redis and in its folder."""

    def __init__(self, drill: Drill, spec: BatchSpec) -> None:
        self.drill = drill
        self.redis = drill.cluster.ledger.connection.client
        self.batch = names.redis_key(spec.id)
        self.folder = drill.out / "_cutout" / spec.id
        self.output = drill.out / f"{KEY}.png"
        self.line = drill.line_of(spec, f"{KEY}.jpg")

    def _etag(self) -> str:
        status = self.output.stat()
        return f"{status.st_size:x}-{status.st_mtime_ns:x}-{status.st_ctime_ns:x}"

    def metadata(self, **marks: str) -> None:
        """Change the output's metadata, as a store does that mixed up two objects."""
        for path in (self.drill.out / "_cutout/metadata").rglob("*.json"):
            row = json.loads(path.read_text())
            if row["etag"] == self._etag():
                row["metadata"].update(marks)
                path.write_text(json.dumps(row))

    def rewrite(self, body: bytes) -> None:
        """Change the output's bytes and keep its metadata."""
        before = self._etag()
        self.output.write_bytes(body)
        after = self._etag()
        for path in (self.drill.out / "_cutout/metadata").rglob("*.json"):
            path.write_text(path.read_text().replace(before, after))

    def image(self, size: tuple[int, int], mode: str) -> None:
        Image.new(mode, size).save(self.output.with_suffix(".tmp"), "PNG")
        self.rewrite(self.output.with_suffix(".tmp").read_bytes())

    def rows(
        self, change: Callable[[list[str]], list[str]], path: str = "outcomes/*.jsonl.gz"
    ) -> None:
        for segment in self.folder.glob(path):
            lines = change(gzip.decompress(segment.read_bytes()).decode().splitlines())
            segment.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))

    def flipped_byte(self) -> None:
        body = bytearray(self.output.read_bytes())
        body[len(body) // 2] ^= 1
        self.rewrite(bytes(body))


def wrong_header(spoiler: Spoiler) -> None:
    """Write a PNG whose header gives another width than its pixels have."""
    body = bytearray(spoiler.output.read_bytes())
    width = struct.unpack(">I", body[16:20])[0]
    body[16:20] = struct.pack(">I", width + 1)
    body[29:33] = struct.pack(">I", zlib.crc32(body[12:29]))
    spoiler.rewrite(bytes(body))


def moved(lines: list[str]) -> list[str]:
    return [line.replace(f"{KEY}.jpg", "shelf 0/000004.jpg", 1) for line in lines]


def beyond(lines: list[str]) -> list[str]:
    return [*lines, json.dumps({"line": COUNT, "key": "x", "status": "done"})]


def dropped(lines: list[str]) -> list[str]:
    return [line for line in lines if f"{KEY}.jpg" not in line]


def failed(lines: list[str]) -> list[str]:
    return [
        json.dumps({**json.loads(line), "status": "failed", "code": "poisoned"})
        if f"{KEY}.jpg" in line else line
        for line in lines
    ]  # fmt: skip


MESSAGE = json.dumps([{"headers": {"id": "{batch}.3"}}, "", "bulk.u2netp.p3"])

CORRUPTIONS: dict[str, tuple[str, Callable[[Spoiler], object]]] = {
    "a deleted output": ("output_missing", lambda s: s.output.unlink()),
    "a truncated PNG": (
        "output_broken", lambda s: s.rewrite(s.output.read_bytes()[:-40]),
    ),
    "a flipped bit in a PNG": ("output_broken", Spoiler.flipped_byte),
    "a PNG with a wrong header": ("output_broken", wrong_header),
    "a PNG without alpha": ("output_broken", lambda s: s.image((160, 120), "RGB")),
    "a PNG turned on its side": ("output_size", lambda s: s.image((120, 160), "RGBA")),
    "a wrong source ETag": (
        "output_source", lambda s: s.metadata(**{"source-etag": "another"}),
    ),
    "a wrong recipe": ("output_recipe", lambda s: s.metadata(recipe="0123456789abcdef")),
    "a cleared bit": (
        "not_settled", lambda s: s.redis.setbit(f"{s.batch}:settled", s.line, 0),
    ),
    "a bit too many": (
        "bits_differ", lambda s: s.redis.setbit(f"{s.batch}:settled", COUNT + 1, 1),
    ),
    "a counter that is off": ("counters_differ", lambda s: s.redis.hincrby(s.batch, "done", 1)),
    "a missing outcome": ("no_outcome", lambda s: s.rows(dropped)),
    "an outcome of another photograph": ("wrong_key", lambda s: s.rows(moved)),
    "an outcome of no line": ("unlisted_outcome", lambda s: s.rows(beyond)),
    "an outcome with another status": ("counters_differ", lambda s: s.rows(failed)),
    "a report without a row": (
        "report_differs", lambda s: s.rows(dropped, "report.jsonl.gz"),
    ),
    "a manifest without a line": (
        "manifest_differs", lambda s: s.rows(dropped, "manifest/*.jsonl.gz"),
    ),
    "a message that a worker still holds": (
        "unacknowledged",
        lambda s: s.redis.hset(
            "unacked", "x", MESSAGE.replace("{batch}", s.batch.rpartition(":")[2])
        ),
    ),
}  # fmt: skip


def test_every_corruption_is_found(drill: Drill, tmp_path: Path) -> None:
    drill.fill(COUNT)
    batches = {
        what: drill.cluster.submit(drill.catalogue, tmp_path / f"out {number}")
        for number, what in enumerate(CORRUPTIONS)
    }
    drill.cluster.start_dispatcher()
    drill.cluster.start_worker()
    for spec in batches.values():
        drill.closed(spec)
    drill.cluster.stop()
    ledger, findings = drill.cluster.ledger, {}
    for what, spec in batches.items():
        drill.out = tmp_path / f"out {list(CORRUPTIONS).index(what)}"
        assert list(audit(ledger, spec.id)) == []  # sound before
        fault, spoil = CORRUPTIONS[what]
        spoil(Spoiler(drill, spec))
        findings[what] = fault, {finding.fault for finding in audit(ledger, spec.id)}
        ledger.connection.client.delete("unacked")

    assert {what: found for what, (fault, found) in findings.items() if fault not in found} == {}
    # of no image is the output read, but all are counted
    assert list(audit(ledger, batches["a deleted output"].id, share=0)) == []
    assert list(audit(ledger, batches["a counter that is off"].id, share=0))
    broken = drill.cutout("audit", batches["a deleted output"].id)
    assert broken.returncode == 3
    assert f"output_missing: line {drill.line_of(spec, f'{KEY}.jpg')}: " in broken.stdout
    assert "Nothing is wrong" not in broken.stdout
    sound = drill.cutout("audit", spec.id, "--sample", "50%")  # its message is gone again
    assert sound.returncode == 0
    assert "Nothing is wrong" in sound.stdout


def test_an_open_batch_does_not_keep_the_promise_yet(drill: Drill) -> None:
    drill.fill(COUNT)
    spec = drill.submit()

    answer = drill.cutout("audit", spec.id)

    assert answer.returncode == 3
    assert "not_settled: 0 of 6 lines are settled; the batch is open." in answer.stdout
    unknown = drill.cutout("audit", "b-20260101-000000-00000a")
    assert unknown.returncode == 1
    assert unknown.stderr.startswith("cutout: batch_unknown: There is no batch")
