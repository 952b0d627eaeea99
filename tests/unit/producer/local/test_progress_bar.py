import io
from dataclasses import replace
from types import SimpleNamespace

from rich.console import Console

from contract.batch import BatchSpec
from contract.ledger.memory import MemoryLedger
from contract.outcome import Outcome, Status
from contract.recipe import Recipe
from producer.local import progress_bar
from producer.local.progress_bar import ProgressDisplay

BATCH = "b-20260101-000000-000000"


def test_the_last_line_of_text_tells_the_speed(monkeypatch):
    ledger, moment = MemoryLedger(), 0.0
    monkeypatch.setattr(progress_bar, "time", SimpleNamespace(monotonic=lambda: moment))
    spec = BatchSpec(
        id=BATCH, source="file:///in", destination="file:///out", recipe=Recipe(model="u2netp"),
        created=0, total=8, segment_lines=10,
    )  # fmt: skip
    ledger.batches.register(spec)
    ledger.batches.open(BATCH)
    output = io.StringIO()
    display = ProgressDisplay(Console(file=output, width=200))
    display.show(ledger.batches.progress(BATCH))
    for line in range(8):
        ledger.lines.finish(BATCH, Outcome(line=line, key="a", status=Status.DONE))
    moment = 4.0
    display.show(replace(ledger.batches.progress(BATCH), state="closed"))
    display.close()
    assert output.getvalue().splitlines() == [
        "0/8  done 0  skipped 0  failed 0  -.- images/s",
        "8/8  done 8  skipped 0  failed 0  2.0 images/s",
    ]
