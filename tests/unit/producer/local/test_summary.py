"""What a run prints at its end."""

from pathlib import Path

import pytest
from support.one_worker import Worker

from contract.policy import Policy
from contract.presets import PRESETS
from contract.recipe import Recipe
from producer.local.summary import print_summary


@pytest.mark.parametrize("treatment", ["review", "fail"])
def test_a_run_counts_what_is_for_review(tmp_path: Path, capsys, treatment):
    worker = Worker(tmp_path)
    policy = Policy(preset_failed=treatment)
    renditions = (PRESETS["white"].rendition, PRESETS["ebay"].rendition)
    worker.job = worker.open(
        "b-20260101-000000-cccccc",
        recipe=Recipe(model="u2netp", policy=policy, renditions=renditions),
    )
    worker.process()
    status = print_summary(worker.ledger, worker.progress, as_json=False)
    printed = capsys.readouterr().err
    assert ("out/_review (1 to look at)" in printed) == (treatment == "review")
    assert status == (0 if treatment == "review" else 3)
