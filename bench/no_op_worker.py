"""`cutout worker` whose images cost nothing: no model, no storage. All else is the product's own.

usage: no_op_worker.py worker --concurrency 2     (CUTOUT_REDIS_URL must be set)
"""

from types import SimpleNamespace

from contract.job import ImageJob
from contract.outcome import Outcome, Status
from contract.rendition import Rendition
from worker import process, runtime
from worker.attempt import Attempt
from worker.cli import main as verbs

STAGES = {
    "check": 21, "fetch": 48, "wait": 0, "decode": 55, "matte": 310, "encode": 190, "store": 62,
}  # fmt: skip
"""Milliseconds as of a common photograph, so that rows have their usual size."""


def missing_renditions(
    job: ImageJob, _attempt: Attempt, _: object
) -> tuple[tuple[Rendition, ...], Status]:
    return job.recipe.outputs, Status.SKIPPED


def cut_out(_job: ImageJob, missing: tuple[Rendition, ...], attempt: Attempt, _: object) -> Outcome:
    attempt.milliseconds = STAGES
    for rendition in missing:
        attempt.add_output(rendition, (2400, 1600), 1_234_567)
    return attempt.outcome(Status.DONE, foreground=0.3125)


def main() -> None:
    runtime.weights.verify = lambda *_: ""
    runtime.Session = lambda *_: SimpleNamespace(sha256="")
    process.missing_renditions = missing_renditions
    process._cut_out = cut_out  # noqa: SLF001
    verbs.main()


if __name__ == "__main__":
    main()
