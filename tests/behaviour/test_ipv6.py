"""Every server listens on an IPv6 address, too."""

import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from support.services import RedisServer, answers, until

from contract.errors import ErrorCode, PermanentError
from contract.settings import Settings, settings
from producer.local.stack import Stack


def _free_port() -> int:
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return int(probe.getsockname()[1])


def _has_ipv6() -> bool:
    try:
        return _free_port() > 0
    except OSError:
        return False


pytestmark = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6 loopback address")


@pytest.mark.slow
@pytest.mark.parametrize("address", ["::1", "[::1]"])
@pytest.mark.parametrize(
    ("verb", "variable", "path"),
    [
        ("serve", "WEB", "healthz"), ("flower", "FLOWER", "metrics"),
        ("dispatch", "METRICS", "healthz"),
    ],
)  # fmt: skip
def test_a_server_answers(
    verb: str, variable: str, path: str, address: str,
    redis_server: RedisServer, tmp_path: Path, monkeypatch,
) -> None:  # fmt: skip
    port = _free_port()
    monkeypatch.setenv("CUTOUT_REDIS_URL", redis_server.url)
    monkeypatch.setenv("CUTOUT_WEB_STORE", str(tmp_path / "store"))
    monkeypatch.setenv(f"CUTOUT_{variable}_ADDRESS", address)
    monkeypatch.setenv(f"CUTOUT_{variable}_PORT", str(port))
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "producer", verb], stderr=log)
    try:
        until(lambda: process.poll() is not None or answers(f"http://[::1]:{port}/{path}"))
        assert process.poll() is None, (tmp_path / "log").read_text()
        with urllib.request.urlopen(f"http://[::1]:{port}/{path}", timeout=10) as answer:
            assert answer.status == 200
    finally:
        process.terminate()
        process.wait()


def test_flower_of_a_local_run(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("CUTOUT_FLOWER_ADDRESS", "::1")
    settings.cache_clear()
    stack = Stack(settings(), "u2netp", 2, tmp_path)
    monkeypatch.setattr(stack, "_start", lambda *_, **__: None)
    port = _free_port()
    stack._start_flower(port)
    assert stack.flower_url == f"http://[::1]:{port}"


def test_an_address_of_another_machine_is_refused(tmp_path: Path) -> None:
    stack = Stack(Settings(flower_address="2001:db8::1"), "u2netp", 2, tmp_path)
    with pytest.raises(PermanentError, match="no port is free at 2001:db8::1") as caught:
        stack._start_flower(0)
    assert caught.value.code is ErrorCode.INVALID_SETTING
