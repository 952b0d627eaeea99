"""The composition root of a child: everything it keeps, built once, after the fork."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from contract.ledger import Ledger
from contract.settings import Settings, settings
from worker.imaging.decode import Limits
from worker.models import cpus, registry, store
from worker.models.session import Session


@dataclass(frozen=True, slots=True)
class Weights:
    """What the parent verified before it forked; children inherit it and load without hashing."""

    path: Path
    sha256: str
    threads: int


@dataclass(frozen=True, slots=True)
class Runtime:
    config: Settings
    ledger: Ledger
    session: Session
    limits: Limits


_verified: dict[str, Weights] = {}


def verify_weights(config: Settings, children: int) -> Weights:
    """Check the weights in the parent. Raises PermanentError (`model_missing`, `..._mismatch`)."""
    model = registry.find(config.model)
    path = config.model_dir.expanduser() / model.file
    weights = Weights(path, store.verify(path, model), cpus.threads(children))
    _verified[config.model] = weights
    return weights


@cache
def runtime() -> Runtime:
    """Return the child's singleton."""
    config = settings()
    weights = _verified[config.model]
    return Runtime(
        config=config,
        ledger=Ledger(config.redis_url or ""),
        session=Session(registry.find(config.model), weights.path, weights.sha256, weights.threads),
        limits=Limits(pixels=config.max_pixels),
    )
