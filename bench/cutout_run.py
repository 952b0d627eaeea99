"""Runs `cutout run` from bucket to bucket, with an S3 server of this machine."""

import gzip
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meter import Meter, running
from run_result import RunResult, measure

CUTOUT = Path(sys.executable).parent / "cutout"
RCLONE = Path(sys.executable).parent / "rclone"
KEYS = ("bench", "bench-secret")
BUCKET = "bench"
AS_REMBG = ("--refine", "none", "--passes", "1")
"""Options for the mattes that `rembg p` makes."""
Proxy = Callable[[str], AbstractContextManager[str]]
"""Starts a proxy in front of the S3 server at an address and gives the proxy's address."""


@dataclass(frozen=True)
class Endpoint:
    """An S3 server of this machine."""

    pid: int
    env: dict[str, str]
    folder: Path

    def outputs(self) -> list[Path]:
        return sorted((self.folder / "cache" / "vfs").glob(f"**/{BUCKET}/out/*.png"))

    def report(self) -> list[dict[str, Any]]:
        (path,) = (self.folder / "cache" / "vfs").glob(f"**/{BUCKET}/out/_cutout/*/report.jsonl.gz")
        return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


@contextmanager
def endpoint(folder: Path) -> Iterator[Endpoint]:
    """Serve `folder`/buckets as cheaply as possible, as it runs on the measured CPUs.

    Written objects stay in the server's cache, and photographs are not hashed when they are read.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [
        str(RCLONE), "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", ",".join(KEYS),
        "--config", os.devnull, "--cache-dir", str(folder / "cache"),
        "--vfs-cache-mode", "writes", "--vfs-write-back", "24h", "--no-checksum",
        str(folder / "buckets"),
    ]  # fmt: skip
    env = {
        "AWS_ACCESS_KEY_ID": KEYS[0],
        "AWS_SECRET_ACCESS_KEY": KEYS[1],
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }
    with running(command, folder / "log") as process:
        for _ in range(100):
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            time.sleep(0.1)
        yield Endpoint(process.pid, env, folder)


@contextmanager
def started(
    photographs: list[Path],
    model: str,
    folder: Path,
    processes: int,
    options: Sequence[str] = AS_REMBG,
    proxy: Proxy = nullcontext,
) -> Iterator[tuple[Endpoint, subprocess.Popen[bytes]]]:
    """Start `cutout run` with these options over the photographs, in a bucket of their own."""
    source = folder / "buckets" / BUCKET / "in"
    source.mkdir(parents=True)
    for number, photograph in enumerate(
        photographs
    ):  # the list may hold a photograph several times
        os.link(photograph, source / f"{number:06d}-{photograph.name}")
    command = [
        str(CUTOUT), "run", f"s3://{BUCKET}/in", f"s3://{BUCKET}/out",
        "--model", model, "--workers", str(processes), "--json", *options,
    ]  # fmt: skip
    with endpoint(folder) as s3, proxy(s3.env["AWS_ENDPOINT_URL"]) as address:
        env = {**s3.env, "AWS_ENDPOINT_URL": address, "CUTOUT_STATE_DIR": str(folder / "state")}
        with running(command, folder / "log", env) as process:
            yield s3, process


def run(
    photographs: list[Path],
    model: str,
    folder: Path,
    processes: int,
    skip: int,
    options: Sequence[str] = AS_REMBG,
    proxy: Proxy = nullcontext,
) -> RunResult:
    """Measure cutout through queue and storage, with so many worker processes."""
    folder.mkdir()
    with started(photographs, model, folder, processes, options, proxy) as (s3, process):
        with Meter(s3.pid, process.pid) as meter:
            status = process.wait()
        files = s3.outputs()
        if status or len(files) != len(photographs):
            log = (folder / "log").read_text(encoding="utf-8")[-2000:]
            raise SystemExit(f"bench: cutout exited with status {status}; its log ends:\n{log}")
        result = measure([files], meter, processes, skip)
        result.stages = _stages(files, s3.report(), processes * skip)
    shutil.rmtree(folder)
    return result


def _stages(files: list[Path], rows: list[dict[str, Any]], skip: int) -> dict[str, float]:
    """Return the mean milliseconds of each stage, without the first `skip` images."""
    by_name = {Path(row["key"]).stem: row["milliseconds"] for row in rows}
    warm = sorted(files, key=lambda path: path.stat().st_ctime_ns)[skip:]
    return {
        stage: statistics.mean(by_name[path.stem].get(stage, 0) for path in warm)
        for stage in rows[0]["milliseconds"]
    }
