"""What a newer release stores: the fields of this one, and one that it does not know."""

from contract.batch import BatchSpec
from contract.outcome import Outcome


class NewerSpec(BatchSpec):
    glow: int = 3


class NewerOutcome(Outcome):
    glow: int = 3


def newer(spec: BatchSpec) -> NewerSpec:
    return NewerSpec(**dict(spec))
