"""When a batch runs: the options of `submit`, and the verb that changes them."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer

from contract.schedule import MAX_PRIORITY, MAX_WEIGHT, Schedule, changed
from producer.batches import control
from producer.cli.options import AsJson, BatchId, open_ledger_of
from producer.cli.times import parse_time

app = typer.Typer()

Priority = Annotated[
    int | None,
    typer.Option(
        "--priority", min=-MAX_PRIORITY, max=MAX_PRIORITY, metavar="N",
        help="Batches of a higher priority go first (default: 0).",
    ),
]  # fmt: skip
Weight = Annotated[
    int | None,
    typer.Option(
        "--weight", min=1, max=MAX_WEIGHT, metavar="N",
        help="Share of the workers among batches of the same priority (default: 1).",
    ),
]  # fmt: skip
Cap = Annotated[
    int | None,
    typer.Option(
        "--cap", min=0, metavar="N",
        help="Maximum number of images queued or being processed at a time; 0: no cap.",
    ),
]  # fmt: skip
NotBefore = Annotated[
    str | None,
    typer.Option(
        "--not-before", metavar="TIME",
        help="Start no image before TIME: 22:00 (the next one, in this machine's time zone),"
        " 2026-01-31T22:00 or 2026-01-31T22:00:00+01:00.",
    ),
]  # fmt: skip
Deadline = Annotated[
    str | None,
    typer.Option(
        "--deadline", metavar="TIME",
        help="When the batch should be finished, such as 06:00 (the next one after now and"
        " `--not-before`). If it will not be, status, log and metrics say so; nothing is stopped.",
    ),
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class ScheduleOptions:
    """The options as they were given; None: not given."""

    priority: int | None
    weight: int | None
    cap: int | None
    not_before: str | None
    deadline: str | None

    def applied_to(self, schedule: Schedule) -> Schedule:
        """Return a schedule changed by the options.

        Raises typer.BadParameter, and PermanentError (`invalid_schedule`).
        """
        return changed(schedule, self.changes(schedule))

    def changes(self, schedule: Schedule) -> dict[str, object]:
        """Return the fields that the options change.

        A deadline without a date is the first one after the start. Raises typer.BadParameter.
        """
        now, start = datetime.now(UTC), schedule.not_before
        changes: dict[str, object] = {
            name: value for name, value in asdict(self).items() if value is not None
        }
        if self.cap == 0:
            changes["cap"] = None
        if self.not_before is not None:
            changes["not_before"] = start = parse_time(self.not_before, now)
        if self.deadline is not None:
            changes["deadline"] = parse_time(self.deadline, max(now, start) if start else now)
        return changes


@app.command()
def schedule(
    batch: BatchId,
    priority: Priority = None,
    weight: Weight = None,
    cap: Cap = None,
    not_before: NotBefore = None,
    deadline: Deadline = None,
    as_json: AsJson = False,
) -> None:
    """Show a batch's schedule, or change it while the batch is open or paused.

    What no option names stays as it is, whatever the defaults of a new batch are. The word `none`
    removes a time: `--deadline none`.
    """
    ledger = open_ledger_of(batch)
    current = ledger.batches.progress(batch).spec.schedule
    options = ScheduleOptions(priority, weight, cap, not_before, deadline)
    if options.applied_to(current) != current:
        current = control.reschedule(ledger, batch, options.changes(current)).schedule
    fields = current.model_dump(mode="json")
    if as_json:
        typer.echo(json.dumps(fields))
        return
    for name, value in fields.items():
        typer.echo(f"{name.replace('_', '-')}: {'none' if value is None else value}")
