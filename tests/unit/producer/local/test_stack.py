import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from contract.errors import ErrorCode, PermanentError
from contract.settings import settings
from producer.local import stack as stack_module
from producer.local.stack import Stack


def ended(status: int) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen([sys.executable, "-c", f"raise SystemExit({status})"])
    process.wait()
    return process


@pytest.mark.parametrize(("port", "ports"), [("9000", [9000, 9001, 9002]), ("0", [0, 0, 0])])
def test_each_process_with_metrics_has_a_port_of_its_own(
    tmp_path: Path, monkeypatch, port: str, ports: list[int]
):
    monkeypatch.setenv("CUTOUT_METRICS_PORT", port)
    settings.cache_clear()
    stack = Stack(settings(), "u2netp", 2, tmp_path)
    given = []
    monkeypatch.setattr(
        stack_module.subprocess, "Popen",
        lambda *_, env, **__: given.append(int(env["CUTOUT_METRICS_PORT"])),
    )  # fmt: skip
    for name in ("dispatcher", "worker", "quarantine"):
        stack._start(name, "producer", "dispatch")
    assert given == ports


def test_a_worker_that_asks_for_it_is_started_again(tmp_path: Path, monkeypatch):
    stack = Stack(settings(), "u2netp", 2, tmp_path)
    started = []
    monkeypatch.setattr(stack, "_start", lambda *arguments: started.append(arguments))
    stack._running["worker"] = ended(os.EX_TEMPFAIL)
    stack.check()
    assert started == [("worker", "worker", "worker", "--concurrency", "2")]


@pytest.mark.parametrize(("name", "status"), [("worker", 1), ("worker", 0), ("dispatcher", 75)])
def test_any_other_end_is_the_end_of_the_stack(tmp_path: Path, name: str, status: int):
    stack = Stack(settings(), "u2netp", 2, tmp_path)
    stack._running[name] = ended(status)
    with pytest.raises(PermanentError) as caught:
        stack.check()
    assert caught.value.code is ErrorCode.STACK_FAILED


def test_flower_takes_another_port_if_its_own_is_taken_while_it_starts(tmp_path: Path, monkeypatch):
    """As when two runs start at the same moment: both find the same port free."""
    stack = Stack(settings(), "u2netp", 2, tmp_path)
    running = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    starts = [ended(1), running]
    monkeypatch.setattr(
        stack, "_start", lambda name, *_, **__: stack._running.update({name: starts.pop(0)})
    )
    metrics = SimpleNamespace(data=b"flower_worker_online{}")
    monkeypatch.setattr(stack_module.urllib3, "request", lambda *_, **__: metrics)
    stack._start_flower(5555)
    first = stack.flower_url
    stack._await_flower()
    running.communicate(b"\n")
    assert starts == []
    assert stack.flower_url.startswith("http://127.0.0.1:")
    assert stack.flower_url != first


def test_a_redis_whose_data_is_damaged_is_named_with_its_log(tmp_path: Path):
    folder = tmp_path / "redis/appendonlydir"
    folder.mkdir(parents=True)
    (folder / "appendonly.aof.manifest").write_text("damaged")
    with pytest.raises(PermanentError) as caught, Stack(settings(), "u2netp", 2, tmp_path):
        pass
    assert caught.value.code is ErrorCode.STACK_FAILED
    assert f"Its log: {tmp_path}/redis.log." in caught.value.message
    assert f"delete {tmp_path}/redis:" in caught.value.message
