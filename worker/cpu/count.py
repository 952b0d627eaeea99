"""How many children and threads keep the available CPUs busy."""

import math

from contract.cpus import available_cpus


def default_children(cpus: int) -> int:
    """Return how many child processes keep that many CPUs busy.

    One per CPU plus one per four CPUs, so that some compute while others wait for storage: an
    image that computes for 200 ms also makes three requests of about 30 ms each.
    """
    return cpus + math.ceil(cpus / 4)


def threads_per_child(children: int) -> int:
    """Return the number of ONNX Runtime threads of each child, at least 1."""
    return max(1, available_cpus() // max(1, children))
