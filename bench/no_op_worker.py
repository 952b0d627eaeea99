"""`cutout worker` whose images cost nothing: no model, no storage. All else is the product's own.

usage: no_op_worker.py worker --concurrency 2     (CUTOUT_REDIS_URL must be set)
"""

from pathlib import Path
from types import SimpleNamespace

from contract.outcome import Outcome, Status
from contract.settings import Settings
from worker import process, runtime
from worker.cli import main as verbs
from worker.cpu.slots import CpuSlots

STAGES = {
    "check": 21,
    "fetch": 48,
    "wait": 0,
    "decode": 55,
    "matte": 310,
    "encode": 190,
    "store": 62,
}
"""Milliseconds as of a common photograph, so that rows have their usual size."""


def prepare(
    config: Settings, children: int, *, quarantine: bool, interactive: bool = False
) -> None:
    del children
    runtime._plans[config.model] = runtime.Plan(  # noqa: SLF001 - what the real one does
        weights=Path(), sha256="", threads=1, cpu_slots=CpuSlots(1), quarantine=quarantine,
        interactive=interactive, worker="no-op",
    )  # fmt: skip


def cut_out(attempt: process.Attempt, _: runtime.Runtime) -> Outcome:
    job = attempt.job
    return Outcome(
        line=job.line, key=job.photograph.key, status=Status.DONE, attempts=attempt.number,
        milliseconds=STAGES, width=2400, height=1600, foreground=0.3125,
        source_etag=job.photograph.etag, outputs=[job.output_key],
    )  # fmt: skip


def main() -> None:
    runtime.prepare = prepare
    runtime.Session = lambda *_: SimpleNamespace(sha256="")  # type: ignore[assignment,misc]
    process._skip_if_current = lambda *_: None  # noqa: SLF001
    process._cut_out = cut_out  # noqa: SLF001
    verbs.main()


if __name__ == "__main__":
    main()
