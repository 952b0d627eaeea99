import os
from pathlib import Path

import pytest

from contract.errors import ErrorCode, PermanentError
from producer.local import redis_server
from producer.local.redis_server import is_fixed, server_binary


def redis_output(version: str) -> str:
    return f"Redis server v={version} sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=d2c2\n"


def valkey_output(version: str) -> str:
    return f"Valkey server v={version} sha=00000000:1 malloc=libc bits=64 build=1536\n"


@pytest.mark.parametrize(
    ("output", "fixed"),
    [
        (redis_output("6.2.14"), False),
        (redis_output("6.2.19"), False),
        (redis_output("6.2.20"), True),
        (redis_output("6.0.20"), False),
        (redis_output("7.0.15"), False),
        (redis_output("7.2.10"), False),
        (redis_output("7.2.11"), True),
        (redis_output("7.4.5"), False),
        (redis_output("7.4.6"), True),
        (redis_output("8.0.3"), False),
        (redis_output("8.0.4"), True),
        (redis_output("8.1.9"), False),
        (redis_output("8.2.1"), False),
        (redis_output("8.2.2"), True),
        (redis_output("8.4.0"), True),
        (redis_output("10.0.0"), True),
        (valkey_output("7.2.10"), False),
        (valkey_output("7.2.11"), True),
        (valkey_output("8.0.5"), False),
        (valkey_output("8.0.6"), True),
        (valkey_output("8.1.3"), False),
        (valkey_output("8.1.4"), True),
        (valkey_output("9.0.0"), True),
        (valkey_output("9.1.2"), True),
        ("KeyDB server v=6.3.4 sha=0", False),
        ("", False),
    ],
)
def test_a_server_is_used_only_if_its_series_has_the_fix(output: str, fixed: bool):
    assert is_fixed(output) is fixed


def server(folder: Path, name: str, output: str) -> str:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{output}END\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def path_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on the PATH beside the system's own."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.defpath}")
    return tmp_path / "bin"


def test_a_server_on_the_path_goes_first_if_it_is_new_enough(path_folder: Path):
    expected = server(path_folder, "redis-server", redis_output("8.2.2"))
    assert server_binary() == expected


@pytest.mark.parametrize("output", [redis_output("6.2.14"), "not a server\n"])
def test_an_old_server_on_the_path_is_passed_over(path_folder: Path, output: str):
    server(path_folder, "redis-server", output)
    assert Path(server_binary()).name == "valkey-server"
    assert not server_binary().startswith(str(path_folder))


def test_with_an_old_server_alone_the_error_names_it(path_folder: Path, monkeypatch):
    old = server(path_folder, "redis-server", redis_output("7.0.15"))
    monkeypatch.setattr(redis_server, "find_spec", lambda _: None)
    with pytest.raises(PermanentError) as caught:
        server_binary()
    assert caught.value.code is ErrorCode.REDIS_UNAVAILABLE
    assert f"{old}: too old" in caught.value.message


def test_the_bundled_server_is_new_enough(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert is_fixed(redis_server._version_output(server_binary()))


def test_a_temporary_folder_too_long_for_a_socket_is_named(tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / ("x" * 90)
    folder.mkdir()
    monkeypatch.setattr(redis_server.tempfile, "tempdir", str(folder))
    with pytest.raises(PermanentError) as caught:
        redis_server.socket_path()
    assert caught.value.code is ErrorCode.INVALID_SETTING
    assert caught.value.message.startswith("TMPDIR: ")
    assert list(folder.iterdir()) == []


def test_a_temporary_folder_that_takes_no_folder_is_named(tmp_path: Path, monkeypatch) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    monkeypatch.setattr(redis_server.tempfile, "tempdir", str(file))
    with pytest.raises(PermanentError, match="TMPDIR: no folder can be made there"):
        redis_server.socket_path()
