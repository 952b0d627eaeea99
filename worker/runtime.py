"""The composition root of a child: everything it keeps, built once, after the fork."""

import ctypes
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from threadpoolctl import threadpool_limits

from contract.ledger import Ledger
from contract.ledger.redis_ledger import RedisLedger
from contract.settings import Settings, settings
from worker.cpu.count import available_cpus, threads_per_child
from worker.cpu.slots import CpuSlots
from worker.imaging.decode import Limits
from worker.models import registry, weights
from worker.models.session import Session

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Names of glibc's options, from malloc.h."""
KEPT = 128 * 1024**2
LARGEST_KEPT = 32 * 1024**2
"""Bytes of one allocation; glibc takes no more. Pillow's blocks are half of it at most."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the parent settled before it forked; children inherit it and load without hashing."""

    weights: Path
    sha256: str
    threads: int
    cpu_slots: CpuSlots
    quarantine: bool
    interactive: bool
    worker: str
    """a name for this worker that no other has"""

    def token_prefix(self, pid: int) -> str:
        """Return how the tokens of a child begin, so that the parent can tell whose a line was."""
        return f"{self.worker}-{pid}:"


@dataclass(frozen=True, slots=True)
class Runtime:
    config: Settings
    ledger: Ledger
    session: Session
    limits: Limits
    cpu_slots: CpuSlots
    quarantine: bool
    token_prefix: str


_plans: dict[str, Plan] = {}


def prepare(
    config: Settings, children: int, *, quarantine: bool, interactive: bool = False
) -> None:
    """Check the weights in the parent. Raises PermanentError (`model_missing`, `..._mismatch`)."""
    model = registry.find(config.model)
    path = config.model_dir.expanduser() / model.file
    _plans[config.model] = Plan(
        weights=path, sha256=weights.verify(path, model), threads=threads_per_child(children),
        cpu_slots=CpuSlots(available_cpus()), quarantine=quarantine, interactive=interactive,
        worker=secrets.token_hex(4),
    )  # fmt: skip


def plan() -> Plan:
    return _plans[settings().model]


def keep_memory() -> None:
    """Have this process keep the memory of an image for the next one, up to 128 MB.

    glibc returns it to the kernel each time, which then has to clear it: a twentieth of the time
    of 10 megapixels. Does nothing with another C library.
    """
    with suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(TRIM_THRESHOLD, KEPT)
        mallopt(MMAP_THRESHOLD, LARGEST_KEPT)


def keep_to_one_cpu() -> None:
    """Have NumPy's products of matrices taken by the calling thread: each CPU has a child."""
    threadpool_limits(1, user_api="blas")


@cache
def runtime() -> Runtime:
    """Return the child's singleton."""
    keep_memory()
    keep_to_one_cpu()
    config = settings()
    made = plan()
    return Runtime(
        config=config,
        # one more try for a connection gone stale: process.py waits longer, and knows how long
        ledger=RedisLedger(config.require_redis_url(), retries=1),
        session=Session(registry.find(config.model), made.weights, made.sha256, made.threads),
        limits=Limits(pixels=config.max_pixels),
        cpu_slots=made.cpu_slots,
        quarantine=made.quarantine,
        token_prefix=made.token_prefix(os.getpid()),
    )
