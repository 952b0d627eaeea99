import os
from pathlib import Path

import pytest

from worker.models import benchmark
from worker.models.registry import find


@pytest.mark.parametrize(("load", "remembered"), [(0, True), (1000, False)], ids=["idle", "busy"])
def test_speed_is_measured_until_the_machine_was_idle(
    weights: Path, tmp_path: Path, monkeypatch, load: int, remembered: bool
):
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0, 0))
    model = find("u2netp")
    assert benchmark.milliseconds(model, tmp_path) is None
    path = tmp_path / model.file
    path.write_bytes((weights / model.file).read_bytes())
    first = benchmark.milliseconds(model, tmp_path)
    assert first
    monkeypatch.setattr(benchmark, "_measure", lambda *_: 12.5)
    assert benchmark.milliseconds(model, tmp_path) == (first if remembered else 12.5)
    path.write_bytes(path.read_bytes())
    assert benchmark.milliseconds(model, tmp_path) == 12.5


def test_a_folder_that_cannot_be_written_to_only_forgets(tmp_path: Path, monkeypatch):
    model = find("u2netp")
    (tmp_path / model.file).write_bytes(b"weights")
    (tmp_path / benchmark.SPEED_FILE).mkdir()
    monkeypatch.setattr(benchmark, "_measure", lambda *_: 12.5)
    assert benchmark.milliseconds(model, tmp_path) == 12.5
