"""Flower, read-only, showing tasks by photograph and batch."""

import os

import structlog
from prometheus_client import REGISTRY

from contract.paths import expand
from contract.settings import Settings
from producer.dispatch.publisher import app
from producer.monitoring.metrics import ClusterMetrics

log = structlog.get_logger(__name__)

SAVE_MILLISECONDS = 60_000
"""Interval at which CUTOUT_FLOWER_DB is written: what Flower saw since is lost if it is killed."""
MAX_TASKS = 100_000
"""Tasks that Flower keeps in memory; older ones are forgotten."""
OFFLINE_SECONDS = 3600
"""Workers that have been silent for so long are forgotten."""


def serve_flower(config: Settings) -> int:
    """Serve Flower until SIGTERM or Ctrl-C, with the cluster's metrics at its /metrics.

    The app is passed as an object: by name (`--app`), Celery would import it from the user's
    current folder. Returns the exit status.
    """
    if not config.flower_users and "FLOWER_AUTH" not in os.environ:
        log.info("Flower asks for no password", address=config.flower_address)
    REGISTRY.register(ClusterMetrics(config.require_redis_address()))
    status: int | None = app().start(options(config))
    return status or 0


def options(config: Settings) -> list[str]:
    """Return Flower's options. They are passed within this process, so `ps` shows no password.

    Flower reads others from variables of its own (FLOWER_AUTH_PROVIDER, ...). These override them.
    """
    return [
        "--quiet", "flower",
        f"--conf={os.devnull}",  # else Flower runs the file flowerconfig.py of that folder
        f"--address={config.flower_address}",
        f"--port={config.flower_port}",
        "--read_only=True",
        # the photograph, its batch, the result, and the reason of a failure
        "--tasks_columns=args,kwargs,state,exception,runtime,received,worker,uuid",
        f"--max_tasks={MAX_TASKS}",
        f"--purge_offline_workers={OFFLINE_SECONDS}",
        *_users(config),
        *_persistence(config),
    ]  # fmt: skip


def _users(config: Settings) -> list[str]:
    return [f"--basic_auth={','.join(config.flower_users)}"] if config.flower_users else []


def _persistence(config: Settings) -> list[str]:
    if config.flower_db is None:
        return []
    path = expand(config.flower_db)
    return ["--persistent=True", f"--db={path}", f"--state_save_interval={SAVE_MILLISECONDS}"]
