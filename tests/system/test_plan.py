"""`cutout plan` processes a sample in a cluster of its own and leaves nothing behind."""

import json

from support.commands import cutout
from support.paths import SAMPLES


def test_a_plan_of_a_folder(weights, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    answer = cutout(
        "plan", str(SAMPLES), "--model", "u2netp", "--sample", "8", "--until", "06:00",
        "--price-per-core-hour", "0.04", "--json",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    plan = json.loads(answer.stdout)
    assert (plan["photographs"], plan["sampled"], plan["failed"]) == (4, 4, 0)
    assert plan["formats"] == {".jpg": 4}
    assert 0.01 < plan["cpu_seconds_per_image"] < 60
    assert plan["seconds"] > 0
    assert plan["cores_needed"] >= 1
    assert plan["cost"] > 0
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("cutout-plan")] == []
