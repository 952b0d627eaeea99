"""The composition root of a child: everything it keeps, built once, after the fork."""

import os
import secrets
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from contract.ledger import Ledger
from contract.settings import Settings, settings
from worker.imaging.decode import Limits
from worker.models import cpus, registry, store
from worker.models.session import Session


@dataclass(frozen=True, slots=True)
class Plan:
    """What the parent settled before it forked; children inherit it and load without hashing."""

    weights: Path
    sha256: str
    threads: int
    quarantine: bool
    interactive: bool
    worker: str
    """a name for this worker that no other has"""

    def holder(self, pid: int) -> str:
        """Return how the tokens of a child begin, so that the parent can tell whose a line was."""
        return f"{self.worker}-{pid}:"


@dataclass(frozen=True, slots=True)
class Runtime:
    config: Settings
    ledger: Ledger
    session: Session
    limits: Limits
    quarantine: bool
    holder: str


_plans: dict[str, Plan] = {}


def prepare(
    config: Settings, children: int, *, quarantine: bool, interactive: bool = False
) -> None:
    """Check the weights in the parent. Raises PermanentError (`model_missing`, `..._mismatch`)."""
    model = registry.find(config.model)
    path = config.model_dir.expanduser() / model.file
    _plans[config.model] = Plan(
        weights=path, sha256=store.verify(path, model), threads=cpus.threads(children),
        quarantine=quarantine, interactive=interactive, worker=secrets.token_hex(4),
    )  # fmt: skip


def plan() -> Plan:
    return _plans[settings().model]


@cache
def runtime() -> Runtime:
    """Return the child's singleton."""
    config = settings()
    made = plan()
    return Runtime(
        config=config,
        # one more try for a connection gone stale: process.py waits longer, and knows how long
        ledger=Ledger(config.redis_url or "", patience=1),
        session=Session(registry.find(config.model), made.weights, made.sha256, made.threads),
        limits=Limits(pixels=config.max_pixels),
        quarantine=made.quarantine,
        holder=made.holder(os.getpid()),
    )
