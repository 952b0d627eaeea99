"""What a newer release stores: the fields of this one, and one that it does not know."""

from pathlib import Path

from contract.batch import BatchSpec
from contract.outcome import Outcome

LEFT_ALONE = "batch of a newer release left alone"
"""The log event."""


class NewerSpec(BatchSpec):
    glow: int = 3


class NewerOutcome(Outcome):
    glow: int = 3


def newer(spec: BatchSpec) -> NewerSpec:
    return NewerSpec(**dict(spec))


def two_photographs(folder: Path) -> tuple[str, str]:
    """Make a source and return it with a destination."""
    (folder / "in").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (folder / "in" / name).touch()
    return str(folder / "in"), str(folder / "out")
