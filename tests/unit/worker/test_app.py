"""Celery's options that keep a fleet in its operators' hands."""

import pytest

from worker.app import create_app


@pytest.mark.parametrize("quarantine", [False, True])
def test_a_worker_obeys_nobody_and_stores_no_results(monkeypatch, quarantine: bool) -> None:
    monkeypatch.setenv("CUTOUT_REDIS_URL", "redis://localhost")
    options = create_app(1, quarantine=quarantine).conf
    assert not options.worker_enable_remote_control
    assert options.task_ignore_result
    assert not options.task_track_started  # has no effect without results
    assert options.accept_content == ["json"]
