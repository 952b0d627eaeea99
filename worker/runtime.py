"""What a child keeps for its lifetime, built once, after the fork: ledger, model, limits."""

import ctypes
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from threadpoolctl import threadpool_limits

from contract.cpus import available_cpus
from contract.ledger import Ledger
from contract.ledger.redis_ledger import RedisLedger
from contract.paths import expand
from contract.settings import Settings, settings
from worker.cpu.count import threads_per_child
from worker.cpu.slots import CpuSlots
from worker.imaging.decode import Limits
from worker.meters import SharedMeters
from worker.models import registry, weights
from worker.models.providers import require_installed
from worker.models.session import Session

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Numbers of two options of glibc's `mallopt`, from malloc.h."""
TRIM_BYTES = 128 * 1024**2
"""The allocator keeps up to this much freed memory at the top of the heap for later allocations."""
MMAP_BYTES = 32 * 1024**2
"""Smaller allocations come from the heap and can be kept. Larger ones are mapped one by one and
returned when freed. glibc's maximum; Pillow allocates at most half of it at once."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the main process prepares before it forks, for children to inherit."""

    weights: Path
    sha256: str
    """of the weights: verified once, so that children need not read them twice"""
    threads: int
    """ONNX Runtime threads of each child"""
    cpu_slots: CpuSlots
    meters: SharedMeters
    quarantine: bool
    interactive: bool
    worker: str
    """name of this worker, as Celery and the registry know it"""
    token: str
    """random; tells this worker from an earlier one of the same name"""

    def token_prefix(self, pid: int) -> str:
        """Return the prefix of all claim tokens of a child (see `Lines.record_crash`)."""
        return f"{self.token}-{pid}:"


@dataclass(frozen=True, slots=True)
class Runtime:
    """What `process` needs besides the job."""

    config: Settings
    ledger: Ledger
    session: Session
    limits: Limits
    cpu_slots: CpuSlots
    quarantine: bool
    token_prefix: str
    worker: str
    """name of the worker that this child belongs to"""


_plans: dict[str, Plan] = {}


def prepare(
    config: Settings, children: int, worker: str, *, quarantine: bool, interactive: bool = False
) -> None:
    """Verify weights and providers, and store the plan, in the main process before it forks.

    `worker`: its name. Raises PermanentError: `model_missing`, `model_mismatch` or
    `provider_missing`.
    """
    require_installed(config.providers)
    model = registry.find(config.model)
    path = expand(config.model_dir) / model.file
    _plans[config.model] = Plan(
        weights=path, sha256=weights.verify(path, model), threads=threads_per_child(children),
        cpu_slots=CpuSlots(available_cpus()), meters=SharedMeters(children),
        quarantine=quarantine, interactive=interactive, worker=worker, token=secrets.token_hex(4),
    )  # fmt: skip


def plan() -> Plan:
    """Return the plan that `prepare` stored."""
    return _plans[settings().model]


def worker_name() -> str:
    """Return the name of the worker that this process belongs to; empty if it is none."""
    prepared = _plans.get(settings().model)
    return prepared.worker if prepared else ""


def keep_freed_memory() -> None:
    """Reuse the memory of one image for the next one, instead of returning it to the kernel.

    By default glibc returns it, and the kernel clears it before handing it out again, which takes
    5 % of the time of a 10 megapixel image. Does nothing with another C library.
    """
    with suppress(AttributeError):  # no mallopt
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_TRIM_THRESHOLD, TRIM_BYTES)
        mallopt(M_MMAP_THRESHOLD, MMAP_BYTES)


def use_one_blas_thread() -> None:
    """Compute NumPy's matrix products in the calling thread: every other CPU has its own child."""
    threadpool_limits(1, user_api="blas")


@cache
def runtime() -> Runtime:
    """Return the child's runtime; the first call loads the model."""
    keep_freed_memory()
    use_one_blas_thread()
    config, prepared = settings(), plan()
    return Runtime(
        config=config,
        # one retry, for a stale connection; process.py repeats calls for as long as it may wait
        ledger=RedisLedger(config.require_redis_address(), retries=1),
        session=Session(
            registry.find(config.model),
            prepared.weights,
            prepared.sha256,
            prepared.threads,
            config.providers,
        ),
        limits=Limits(pixels=config.max_pixels),
        cpu_slots=prepared.cpu_slots,
        quarantine=prepared.quarantine,
        token_prefix=prepared.token_prefix(os.getpid()),
        worker=prepared.worker,
    )
