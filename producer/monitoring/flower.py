"""Flower, read-only, showing tasks by photograph and batch."""

import os

from prometheus_client import REGISTRY

from contract.settings import Settings
from producer.dispatch.publisher import app
from producer.monitoring.metrics import ClusterMetrics


def serve_flower(config: Settings) -> int:
    """Serve Flower until SIGTERM or Ctrl-C, with the cluster's metrics at its /metrics.

    The app is passed as an object: by name (`--app`), Celery would import it from the user's
    current folder. Returns the exit status.
    """
    REGISTRY.register(ClusterMetrics(config.require_redis_address()))
    status: int | None = app().start(
        [
            "--quiet", "flower",
            f"--conf={os.devnull}",  # else Flower runs the file flowerconfig.py of that folder
            f"--address={config.flower_address}",
            f"--port={config.flower_port}",
            "--read_only=True",
            # the photograph, its batch, the result, and the reason of a failure
            "--tasks_columns=args,kwargs,state,exception,runtime,received,worker,uuid",
            "--max_tasks=100000",
            "--purge_offline_workers=3600",
        ]
    )  # fmt: skip
    return status or 0
