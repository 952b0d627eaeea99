"""Processes that die: a child, a whole machine, every process that opens a certain image."""

import json
import signal
import struct
import time
import zlib

import pytest
from support.drill import Drill
from support.services import until
from support.stand_in import mark

from contract.batch import BatchSpec

COUNT = 30
TIMES = {"CUTOUT_VISIBILITY_TIMEOUT": "12", "CUTOUT_TIME_LIMIT": "8"}


def start(drill: Drill, children: int = 2, **env: str) -> None:
    drill.cluster.env.update(env)
    drill.cluster.start_dispatcher()
    drill.cluster.start_worker(children)
    drill.cluster.start_quarantine()


def test_a_child_is_killed_while_it_processes_an_image(drill: Drill) -> None:
    drill.fill(COUNT)
    mark(drill.key_path(3), "slow:2")
    spec = drill.submit()
    start(drill)
    key = drill.key(3)
    victim = until(lambda: drill.cluster.child_at(key), pause=0.02)
    time.sleep(0.5)  # it has claimed the image and sleeps
    victim.kill()
    killed = time.monotonic()
    until(lambda: key in drill.outcomes(spec), pause=0.2)
    took = time.monotonic() - killed
    drill.closed(spec)

    assert drill.outcomes(spec)[key].attempts == 2  # the crash counts as an attempt
    assert drill.passed(spec, "SIGKILL to a child", 15 + 2, took)["done"] == COUNT


def test_a_machine_vanishes(drill: Drill) -> None:
    spec = begin(drill, slow_seconds=1)
    assert_batch_outlives_worker(drill, spec, "SIGKILL to a whole worker")


def begin(drill: Drill, slow_seconds: int) -> BatchSpec:
    """Start a batch; return it once the worker `doomed` processes two of its four slow images."""
    drill.fill(COUNT)
    for number in range(4):
        mark(drill.key_path(number), f"slow:{slow_seconds}")
    spec = drill.submit()
    drill.cluster.env.update(TIMES)
    drill.cluster.start_dispatcher()
    drill.cluster.start_worker(name="doomed")
    until(lambda: drill.progress(spec).claimed == 2)
    return spec


def assert_batch_outlives_worker(drill: Drill, spec: BatchSpec, injected: str) -> None:
    """Kill the worker `doomed`; assert that another one finishes its batch in time."""
    drill.cluster.kill("doomed")
    killed = time.monotonic()
    drill.cluster.start_worker()
    drill.cluster.start_quarantine()
    drill.closed(spec)
    took = time.monotonic() - killed

    bound = float(TIMES["CUTOUT_VISIBILITY_TIMEOUT"]) + 15
    assert drill.passed(spec, injected, bound, took)["done"] == COUNT


def log_lines(drill: Drill, process: str) -> list[dict]:
    """Return what a process has logged. Fails if a line is no JSON or lacks its origin."""
    lines = [json.loads(line) for line in drill.cluster.log(process).splitlines()]
    assert all({"host", "worker"} <= set(line) for line in lines)
    return lines


def with_event(lines: list[dict], event: str) -> list[dict]:
    return [line for line in lines if line["event"] == event]


def test_an_image_crashes_its_process(drill: Drill) -> None:
    drill.cluster.env["CUTOUT_LOG_FORMAT"] = "json"
    drill.fill(COUNT)
    mark(drill.key_path(5), "segfault")
    spec = drill.submit()
    start(drill)
    began = time.monotonic()
    drill.closed(spec)
    took = time.monotonic() - began

    (poisoned,) = (row for row in drill.outcomes(spec).values() if row.status == "failed")
    assert (poisoned.code, poisoned.attempts) == ("poisoned", 3)
    assert "SIGSEGV, SIGSEGV, SIGSEGV" in poisoned.message
    # the main worker sees the first crash, the quarantine worker the others
    lines = {name: log_lines(drill, name) for name in ("worker", "quarantine")}
    recorded = {name: with_event(lines[name], "crash recorded") for name in lines}
    assert [len(recorded[name]) for name in lines] == [1, 2]
    settled = [line for name in lines for line in with_event(lines[name], "image settled")]
    assert sorted(line["line"] for line in settled) == list(range(COUNT))
    keys = {row.line: row.key for row in drill.outcomes(spec).values()}
    for line in [*settled, *recorded["worker"], *recorded["quarantine"]]:
        assert (line["batch"], line["key"]) == (spec.id, keys[line["line"]])
        assert line["worker"].endswith(f"@{line['host']}")
    assert {line["attempt"] for line in settled} == {1, 4}  # the last one finds it poisoned
    assert drill.passed(spec, "an image that segfaults", 60, took)["done"] == COUNT - 1


@pytest.mark.long
def test_a_crashing_image_slows_the_others_little(drill: Drill) -> None:
    count = drill.size(40, 600)
    drill.fill(count)
    for number in range(count):
        mark(drill.key_path(number), f"slow:{drill.size(1, 4) / 10}")
    start(drill)
    until(lambda: drill.cluster.titled("idle"))

    def seconds(folder: str, others: int) -> tuple[float, BatchSpec]:
        began = time.monotonic()
        spec = drill.cluster.submit(drill.catalogue, drill.out / folder)
        drill.settled(spec, others, 600)
        return time.monotonic() - began, spec

    without, _ = seconds("without", count)
    mark(drill.key_path(5), "segfault")
    beside, spec = seconds("beside", count - 1)
    drill.closed(spec)

    loss = 100 * (beside - without) / without
    assert drill.passed(spec, "one image that segfaults", 5, loss, "% slower")["failed"] == 1


def test_an_image_hangs_in_c_code(drill: Drill) -> None:
    drill.fill(COUNT)
    mark(drill.key_path(5), "hang")
    spec = drill.submit()
    start(drill, CUTOUT_TIME_LIMIT="3", CUTOUT_VISIBILITY_TIMEOUT="30")
    worker = drill.cluster.processes["worker"]
    began = time.monotonic()
    drill.closed(spec)
    took = time.monotonic() - began

    (poisoned,) = (row for row in drill.outcomes(spec).values() if row.status == "failed")
    assert poisoned.code == "poisoned"
    assert poisoned.message.count("time limit of 3 s") == 3
    assert worker.poll() is None
    assert drill.passed(spec, "an image that hangs in C code", 60, took)["done"] == COUNT - 1


def test_memory_runs_out(drill: Drill) -> None:
    drill.fill(COUNT)
    mark(drill.key_path(1), "memory")
    mark(drill.key_path(2), "ort")
    drill.key_path(3).write_bytes(bomb())
    spec = drill.submit()
    start(drill, CUTOUT_RETRY_BUDGET="1")
    worker = drill.cluster.processes["worker"]
    children = until(drill.cluster.children)
    began = time.monotonic()
    drill.closed(spec)
    took = time.monotonic() - began

    failed = sorted(str(row.code) for row in drill.outcomes(spec).values() if row.code)
    assert failed == ["exhausted", "exhausted", "too_many_pixels"]
    assert worker.poll() is None
    assert set(children) <= set(drill.cluster.children())  # no child was replaced
    injected = "MemoryError, ONNX Runtime's own, a decompression bomb"
    assert drill.passed(spec, injected, 60, took)["done"] == COUNT - 3


def bomb() -> bytes:
    """Return a PNG that claims 400 megapixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(60_001) * 100)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels)


def test_a_worker_is_stopped(drill: Drill) -> None:
    longest = 3
    drill.cluster.env["CUTOUT_LOG_FORMAT"] = "json"
    drill.fill(COUNT)
    for number in range(COUNT):
        mark(drill.key_path(number), f"slow:{longest if number < 2 else 0.1}")
    spec = drill.submit()
    drill.cluster.start_dispatcher()
    drill.cluster.start_worker(name="first")
    until(lambda: drill.progress(spec).claimed == 2)
    first = drill.cluster.processes.pop("first")
    terminated = time.monotonic()
    first.terminate()
    assert first.wait(60) == 0
    took = time.monotonic() - terminated
    # a stopped worker holds no message, so none waits for the visibility timeout
    assert drill.cluster.ledger.connection.client.hlen("unacked") == 0
    assert drill.progress(spec).done == 2
    # every line is JSON, and this event replaces what Celery prints
    assert len(with_event(log_lines(drill, "first"), "worker is stopping")) == 1
    drill.cluster.start_worker()
    drill.closed(spec)

    assert {row.attempts for row in drill.outcomes(spec).values()} == {1}
    assert drill.passed(spec, "SIGTERM to a worker", longest + 5, took)["done"] == COUNT


@pytest.mark.long
def test_a_worker_is_killed_while_it_stops(drill: Drill) -> None:
    spec = begin(drill, slow_seconds=4)
    drill.cluster.processes["doomed"].terminate()
    time.sleep(1)
    assert_batch_outlives_worker(drill, spec, "SIGTERM, SIGKILL 1 s later")


@pytest.mark.long
def test_half_the_workers_are_killed_and_half_are_stopped(drill: Drill) -> None:
    count = drill.size(200, 20_000)
    drill.fill(count)
    spec = drill.submit()
    drill.cluster.env.update(TIMES)
    drill.cluster.start_dispatcher()
    drill.cluster.start_quarantine()
    for number in range(4):
        drill.cluster.start_worker(1, f"first {number}")
    drill.settled(spec, count // 2, 900)
    began = time.monotonic()
    for number in range(4):
        process = drill.cluster.processes[f"first {number}"]
        if number % 2:
            drill.cluster.kill(f"first {number}")
        else:
            process.send_signal(signal.SIGTERM)
    for number in range(2):
        drill.cluster.start_worker(2, f"second {number}")
    drill.closed(spec, 900)
    took = time.monotonic() - began

    counts = drill.passed(
        spec,
        f"{count:,} images; at the middle half of the workers SIGKILL, half SIGTERM",
        900,
        took,
    )
    assert counts["done"] == count


def test_a_replacement_child_may_load_its_model_slowly(drill: Drill) -> None:
    drill.fill(3)
    spec = drill.submit()
    drill.cluster.start_worker(children=1)
    # if a child ends before that, Celery concludes that none can start, and ends the worker
    until(lambda: " ready." in drill.cluster.log("worker"))
    idle = until(lambda: drill.cluster.titled("idle"))
    idle.send_signal(signal.SIGKILL)
    replacement = until(
        lambda: next((p for p in drill.cluster.children() if p != idle), None), pause=0.005
    )
    replacement.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    time.sleep(6)  # by default Celery kills a new child that is silent for 4 s
    replacement.send_signal(signal.SIGCONT)
    until(lambda: drill.cluster.titled("idle"))
    took = time.monotonic() - began
    drill.cluster.start_dispatcher()
    drill.closed(spec)

    assert drill.cluster.titled("idle") == replacement
    drill.passed(spec, "a new child that takes 6 s to load", 20, took)
