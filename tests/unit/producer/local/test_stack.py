import os
import subprocess
import sys
from pathlib import Path

import pytest

from contract.errors import ErrorCode, PermanentError
from contract.settings import settings
from producer.local.stack import Stack


def ended(status: int) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen([sys.executable, "-c", f"raise SystemExit({status})"])
    process.wait()
    return process


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
