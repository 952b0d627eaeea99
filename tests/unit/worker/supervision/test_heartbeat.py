import os
import subprocess
import sys
from pathlib import Path

import pytest

from contract.errors import ErrorCode, PermanentError
from worker.supervision import heartbeat
from worker.supervision.heartbeat import HeartbeatFile, check, read_heartbeats, set_loaded
from worker.supervision.outlier import OutlierCheck


@pytest.fixture(autouse=True)
def no_model_loaded():
    yield
    set_loaded(0, loaded=False)


def unhealthy(folder: Path, *, ready: bool = False) -> str:
    with pytest.raises(PermanentError) as caught:
        check(folder, ready=ready)
    assert caught.value.code is ErrorCode.WORKER_UNHEALTHY
    return caught.value.message


def test_the_file_names_the_worker_and_whether_it_is_ready(tmp_path: Path):
    file = HeartbeatFile(tmp_path / "workers", "bulk.u2netp.p3", 3, OutlierCheck("w"))
    (seen,) = read_heartbeats(tmp_path / "workers")
    assert (seen.pid, seen.queue, seen.children) == (os.getpid(), "bulk.u2netp.p3", 3)
    assert seen.is_recent
    assert not seen.ready

    file.beat(connected=True)
    assert "not ready" in unhealthy(tmp_path / "workers", ready=True)  # no model yet
    set_loaded(0, loaded=True)
    file.beat(connected=True)
    assert check(tmp_path / "workers", ready=True)[0].ready
    file.beat(connected=False)
    assert "not ready" in unhealthy(tmp_path / "workers", ready=True)
    assert check(tmp_path / "workers", ready=False)

    file.delete()
    assert "No worker" in unhealthy(tmp_path / "workers")


def test_the_file_is_written_if_ready_changed_or_an_interval_passed(tmp_path: Path, monkeypatch):
    file = HeartbeatFile(tmp_path, "bulk.u2netp.p3", 3, OutlierCheck("w"))
    (path,) = tmp_path.iterdir()
    first = path.stat().st_mtime_ns
    file.beat(connected=False)
    assert path.stat().st_mtime_ns == first
    monkeypatch.setattr(heartbeat, "HEARTBEAT_SECONDS", 0)
    file.beat(connected=False)
    assert path.stat().st_mtime_ns > first
    assert list(tmp_path.iterdir()) == [path]


def test_a_running_worker_with_an_old_heartbeat_is_unhealthy(tmp_path: Path, monkeypatch):
    HeartbeatFile(tmp_path, "bulk.u2netp.p3", 3, OutlierCheck("w"))
    monkeypatch.setattr(heartbeat, "STALE_SECONDS", 0)
    assert f"Worker {os.getpid()} (bulk.u2netp.p3) is stuck: its last heartbeat" in unhealthy(
        tmp_path
    )


def test_a_worker_out_of_rotation_is_alive_and_not_ready(tmp_path: Path):
    check_of_others = OutlierCheck("w")
    file = HeartbeatFile(tmp_path, "bulk.u2netp.p3", 3, check_of_others)
    set_loaded(0, loaded=True)
    file.beat(connected=True)
    check_of_others.reason = "It failed."
    file.beat(connected=True)
    assert not check(tmp_path, ready=False)[0].ready
    assert unhealthy(tmp_path, ready=True).endswith("is out of rotation. It failed.")
    check_of_others.reason = ""
    file.beat(connected=True)
    assert check(tmp_path, ready=True)[0].out_of_rotation == ""


def test_files_of_dead_workers_are_deleted_even_if_their_pid_is_used_again(tmp_path: Path):
    HeartbeatFile(tmp_path, "bulk.u2netp.p3", 3, OutlierCheck("w"))
    (own,) = read_heartbeats(tmp_path)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for name, beat in {
        "dead": own.model_copy(update={"pid": gone.pid}),
        "earlier": own.model_copy(update={"born": "1"}),
    }.items():
        (tmp_path / f"{name}.json").write_text(beat.model_dump_json())
    (tmp_path / "half.json").write_text('{"pid"')

    assert read_heartbeats(tmp_path) == [own]
    assert {file.name for file in tmp_path.iterdir()} == {f"{os.getpid()}.json", "half.json"}


def test_a_zombie_process_is_dead():
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    assert heartbeat.start_time(zombie.pid) is None
    zombie.wait()


def test_a_worker_survives_a_folder_it_cannot_write_to(tmp_path: Path):
    (tmp_path / "workers").write_text("no folder")
    file = HeartbeatFile(tmp_path / "workers", "bulk.u2netp.p3", 3, OutlierCheck("w"))
    file.beat(connected=True)
    file.delete()
    assert (tmp_path / "workers").read_text() == "no folder"
