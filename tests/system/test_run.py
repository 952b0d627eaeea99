"""`cutout run`, `up`, `submit` and others as a user runs them."""

import json
import os
import pty
import re
import signal
import struct
import subprocess
import tempfile
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from support.catalogue import photograph, report_rows
from support.commands import CUTOUT, addresses_of, cutout
from support.paths import SAMPLES
from support.services import until

IGNORING_SIGINT = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
"""Starts a command with SIGINT ignored, as a script does its background jobs."""


def read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read()


def report(destination: Path) -> list[dict[str, str]]:
    """The rows of the newest batch's report."""
    newest = max(destination.glob("_cutout/b-*/report.csv"), key=lambda path: path.stat().st_mtime)
    return report_rows(newest.read_text())


def stack_processes(state: str) -> list[str]:
    """Return the command lines of running processes that use this state folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        command = " ".join(process.info["cmdline"] or [])
        environment = process.info["environ"] or {}
        if process.pid != os.getpid() and (
            state in command or environment.get("CUTOUT_STATE_DIR") == state
        ):
            found.append(command)
    return found


def png_header(width: int, height: int) -> bytes:
    """A well-formed PNG that claims a size and holds no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.fixture
def folder(catalogue: Path, weights: Path) -> Path:
    for number in range(3):
        photograph(catalogue / f"shoes & more/ümlaut {number}+100%.jpg", number)
    (catalogue / "shoes & more/notes.txt").write_text("no photograph")
    return catalogue


def test_a_folder_is_cut_out_and_nothing_is_left_running(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    answer = cutout("run", folder, out)

    assert answer.returncode == 0, answer.stderr
    assert "3 done, 0 skipped, 0 failed, 1 other files ignored" in answer.stderr
    assert "Flower: http://127.0.0.1:" in answer.stderr
    assert {path.name for path in (out / "shoes & more").iterdir()} == {
        f"ümlaut {number}+100%.png" for number in range(3)
    }
    for row in report(out):
        with Image.open(folder / row["key"]) as source, Image.open(out / row["outputs"]) as result:
            source.load()
            result.load()
        assert (result.mode, result.size) == ("RGBA", source.size)
        assert 0.05 < float(row["foreground"]) < 0.6
        pixels = np.asarray(result)
        assert not pixels[pixels[..., 3] == 0].any()
        opaque = pixels[..., 3] == 255
        assert (pixels[opaque][:, :3] == np.asarray(source.convert("RGB"))[opaque]).all()
        assert int(row["matte_ms"]) > 0
    assert stack_processes(os.environ["CUTOUT_STATE_DIR"]) == []


def test_a_second_run_does_only_what_changed_and_force_redoes_all(folder: Path) -> None:
    out = folder / "cut outs"  # below the source: outputs are not taken as photographs
    assert "3 done, 0 skipped, 0 failed, 1 other files" in cutout("run", folder, out).stderr
    changed = folder / "shoes & more/ümlaut 1+100%.jpg"
    unchanged = [path for path in out.glob("shoes*/*.png") if path.stem != changed.stem]
    written = {path: path.stat().st_mtime_ns for path in unchanged}
    content = {path: path.read_bytes() for path in unchanged}
    photograph(changed, seed=77)

    second = cutout("run", folder, out)

    assert "1 done, 2 skipped, 0 failed, 1 other files" in second.stderr
    assert {row["key"] for row in report(out) if row["matte_ms"]} == {
        f"shoes & more/{changed.name}"
    }
    assert {path: path.stat().st_mtime_ns for path in unchanged} == written

    forced = json.loads(cutout("run", folder, out, "--force", "--json").stdout)
    assert (forced["done"], forced["skipped"], forced["failed"]) == (3, 0, 0)
    assert {path: path.read_bytes() for path in unchanged} == content


def test_hostile_input_fails_by_name_and_harms_nothing_else(folder: Path, tmp_path: Path) -> None:
    whole = (SAMPLES / "coffee.jpg").read_bytes()
    hostile: dict[str, tuple[bytes, str]] = {
        "empty.jpg": (b"", "empty_file"),
        "page.jpg": (b"<!doctype html><title>404</title>", "not_an_image"),
        "document.png": (b"%PDF-1.7 ...", "unsupported_format"),
        "raw.heic": (b"\0\0\0\x18ftypcrx " + bytes(64), "unsupported_format"),
        "half.jpg": (whole[: len(whole) // 2], "truncated_image"),
        "vast.png": (png_header(60_000, 60_000), "too_many_pixels"),
        "broken.png": (png_header(100, 100)[:33] + b"\0\0\0\5IDAThello\0\0\0\0", "corrupt_image"),
        "heavy.jpg": (whole + bytes(400_000), "too_many_bytes"),
        "twice.jpg": (whole, "duplicate_destination"),
        "twice.jpeg": (whole, "duplicate_destination"),
    }
    for name, (content, _) in hostile.items():
        (folder / name).write_bytes(content)
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(whole)
    (folder / "link.jpg").symlink_to(outside)
    (folder / "dangling.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / os.fsdecode(b"bad-\xff-name.jpg")).write_bytes(whole)
    expected = {name: code for name, (_, code) in hostile.items()} | {
        "link.jpg": "link_outside",
        "dangling.jpg": "object_missing",
        "bad-\\udcff-name.jpg": "unsafe_key",
    }
    out = tmp_path / "out"

    answer = cutout("run", folder, out, CUTOUT_MAX_BYTES="300000")

    assert answer.returncode == 3, answer.stderr
    rows = report(out)
    assert {r["key"]: r["code"] for r in rows if r["status"] == "failed"} == expected
    assert sum(row["status"] == "done" for row in rows) == 3
    assert len(set(expected.values())) >= 10
    for name, code in expected.items():
        assert re.search(rf"failed {re.escape(name)}: {code}: ", answer.stderr), name
    assert "twice.jpeg" in next(r["message"] for r in rows if r["key"] == "twice.jpg")
    assert "Traceback" not in answer.stderr
    assert "Traceback" not in answer.stdout


def assert_stops_by_sigint(catalogue: Path, out: Path, starter: list[str]) -> None:
    """Start a run of ten photographs, and stop it by SIGINT after the third."""
    for number in range(10):
        photograph(catalogue / f"{number}.jpg", number)
    run = subprocess.Popen(
        [*starter, CUTOUT, "run", str(catalogue), str(out)], stderr=subprocess.PIPE, text=True
    )
    until(lambda: len(list(out.glob("*.png"))) >= 3)
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "The same command continues from here" in said
    assert stack_processes(os.environ["CUTOUT_STATE_DIR"]) == []


def test_ctrl_c_stops_in_order_and_the_same_command_goes_on(catalogue, weights, tmp_path) -> None:
    out = tmp_path / "out"
    assert_stops_by_sigint(catalogue, out, [])
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.png")}
    assert 3 <= len(before) < 10

    second = cutout("run", catalogue, out)

    assert second.returncode == 0, second.stderr
    assert "Continuing batch" in second.stderr
    assert "10 done, 0 skipped, 0 failed" in second.stderr  # one batch, one report
    assert sorted(int(row["line"]) for row in report(out)) == list(range(10))
    assert {path: path.stat().st_mtime_ns for path in before} == before  # nothing twice


def test_ctrl_c_stops_a_run_that_was_started_with_sigint_ignored(
    catalogue, weights, tmp_path
) -> None:
    assert_stops_by_sigint(catalogue, tmp_path / "out", IGNORING_SIGINT)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder with a short path, for sockets."""
    with tempfile.TemporaryDirectory(prefix="t-") as folder:
        yield Path(folder)


def test_a_run_that_was_killed_leaves_no_process_and_goes_on(
    catalogue, weights, tmp_path, short_folder, monkeypatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(short_folder))  # a killed run leaves its socket's folder
    for number in range(6):
        photograph(catalogue / f"{number}.jpg", number)
    out = tmp_path / "out"
    state = os.environ["CUTOUT_STATE_DIR"]
    first = subprocess.Popen([CUTOUT, "run", str(catalogue), str(out)], stderr=subprocess.PIPE)
    until(lambda: list(out.glob("*.png")))
    first.kill()
    first.communicate()
    until(lambda: stack_processes(state) == [])

    second = cutout("run", catalogue, out)

    assert second.returncode == 0, second.stderr
    assert sorted(int(row["line"]) for row in report(out)) == list(range(6))


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("run",), 2, "Missing argument"),
        (("run", "{tmp}/nowhere", "{tmp}/out"), 1, "is not a folder"),
        (("run", "{tmp}/none", "{tmp}/out"), 1, "nothing_to_do"),
        (("run", "{tmp}/none", "{tmp}/none"), 1, "overlapping_locations"),
        (("run", "{tmp}/none", "{tmp}"), 1, "overlapping_locations"),
        (("run", "{tmp}/none", "file://{tmp}/./none"), 1, "overlapping_locations"),
        (("run", "s3://b/x", "s3://b//x/"), 1, "overlapping_locations"),
        (("run", "ftp://host/a", "{tmp}/out"), 1, "invalid_location"),
        (("run", "{tmp}/none", "{tmp}/out", "--model", "u3net"), 1, "model_unknown"),
        (("submit", "{tmp}/none", "{tmp}/out"), 1, "CUTOUT_REDIS_URL"),
        (("worker", "--concurrency", "0"), 2, "concurrency"),
    ],
)
def test_a_mistake_is_answered_with_one_sentence(arguments, status, says, tmp_path) -> None:
    (tmp_path / "none").mkdir()

    answer = cutout(*(word.format(tmp=tmp_path) for word in arguments))

    assert answer.returncode == status
    assert says in answer.stderr
    assert "Traceback" not in answer.stderr


def test_on_a_terminal_the_progress_is_live(folder: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [CUTOUT, "run", str(folder), str(tmp_path / "out")]
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"}
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=env) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                seen += os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
    os.close(ours)

    assert process.returncode == 0, seen.decode()
    text = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", seen).decode()
    assert "0/3  done 0" in text
    assert "3/3  done 3" in text
    assert "images/s" in text


def test_an_unreachable_redis_is_named_without_its_password(tmp_path: Path) -> None:
    answer = cutout("status", CUTOUT_REDIS_URL="redis://:hunter2@127.0.0.1:1/0")

    assert answer.returncode == 1
    assert "redis_unavailable" in answer.stderr
    assert "hunter2" not in answer.stderr + answer.stdout


def test_from_bucket_to_bucket_through_submit_watch_and_report(
    rclone_server, folder, redis_server, tmp_path, monkeypatch
) -> None:
    import boto3

    rclone_server.select(monkeypatch)
    client, bucket = boto3.session.Session().client("s3"), "shop"
    client.create_bucket(Bucket=bucket)
    keys = [p.relative_to(folder).as_posix() for p in folder.rglob("*.jpg")]
    for key in keys:
        client.upload_file(str(folder / key), bucket, f"in/{key}")
    env = {"CUTOUT_REDIS_URL": redis_server.url}
    with (tmp_path / "log").open("wb") as log:
        running = [
            subprocess.Popen([CUTOUT, *verb], env={**os.environ, **env}, stderr=log)
            for verb in (["dispatch"], ["worker", "--concurrency", "2"])
        ]
        try:
            batch = cutout("submit", f"s3://{bucket}/in", f"s3://{bucket}/out", **env)
            assert batch.returncode == 0, batch.stderr
            watched = cutout("watch", batch.stdout.strip(), **env)
        finally:
            for process in running:
                process.terminate()
            assert [process.wait(60) for process in running] == [0, 0]

    assert watched.returncode == 0, watched.stderr
    rows = report_rows(cutout("report", batch.stdout.strip(), **env).stdout)
    assert sorted(row["key"] for row in rows) == sorted(keys)
    for row in rows:
        answer = client.get_object(Bucket=bucket, Key=f"out/{row['outputs']}")
        assert answer["ContentType"] == "image/png"
        assert answer["Body"].read(4) == b"\x89PNG"
    lines = cutout("report", batch.stdout.strip(), "--format", "jsonl", **env).stdout.splitlines()
    assert {json.loads(line)["status"] for line in lines} == {"done"}
    status = json.loads(cutout("status", batch.stdout.strip(), "--json", **env).stdout)
    assert (status["state"], status["done"], status["total"]) == ("closed", 3, 3)
    listed = client.list_objects_v2(Bucket=bucket, Prefix=f"out/_cutout/{status['batch']}/")
    assert {row["Key"].split("/")[3] for row in listed["Contents"]} == {
        "batch.json", "manifest", "outcomes", "report.csv", "report.jsonl.gz", "summary.json",
    }  # fmt: skip


def test_flower_counts_what_the_report_counts_and_lets_nobody_touch(
    folder: Path, tmp_path: Path
) -> None:
    (folder / "page.jpg").write_bytes(b"<!doctype html>")
    out = tmp_path / "out"
    stack = subprocess.Popen(
        [*IGNORING_SIGINT, CUTOUT, "up"], stderr=subprocess.PIPE, text=True,
        env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    try:
        flower, redis = addresses_of(stack)
        batch = cutout("submit", folder, out, CUTOUT_REDIS_URL=redis).stdout.strip()
        assert cutout("watch", batch, CUTOUT_REDIS_URL=redis).returncode == 3

        def metric(event: str) -> int:
            text = read(f"{flower}/metrics").decode()
            pattern = rf'flower_events_total{{task="cutout.cut",type="{event}",worker=.*}} (\d+)'
            return sum(int(count) for count in re.findall(pattern, text))

        until(lambda: metric("task-succeeded") + metric("task-failed") == 4)
        rows = report(out)
        assert metric("task-succeeded") == sum(row["status"] == "done" for row in rows) == 3
        assert metric("task-failed") == sum(row["status"] == "failed" for row in rows) == 1
        columns = "&".join(
            f"columns[{n}][data]={name}" for n, name in enumerate(["args", "kwargs", "exception"])
        )
        query = f"draw=1&start=0&length=10&order[0][column]=0&order[0][dir]=asc&{columns}"
        tasks = json.loads(read(f"{flower}/tasks/datatable?{query}"))["data"]
        assert {task["args"] for task in tasks} == {row["key"] for row in rows}
        assert {task["kwargs"] for task in tasks} == {batch}
        failed = next(task for task in tasks if task["state"] == "FAILURE")
        assert "not_an_image" in failed["exception"]
        request = urllib.request.Request(f"{flower}/api/worker/shutdown/any", method="POST")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=5)
        refused.value.close()
        assert refused.value.code in {401, 403, 405}
    finally:
        stack.send_signal(signal.SIGINT)
        stack.communicate(timeout=60)
    assert stack.returncode == 0
    assert stack_processes(os.environ["CUTOUT_STATE_DIR"]) == []
