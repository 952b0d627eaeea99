"""Flower, read-only, showing tasks by photograph and batch."""

import os
import sys
from typing import NoReturn

from contract.settings import Settings


def become(config: Settings) -> NoReturn:
    """Replace this process by Flower. The broker's URL travels in the environment, not in `ps`."""
    command = [
        sys.executable, "-m", "celery",
        "--app", "producer.monitoring.flower_app:app", "--quiet", "flower",
        f"--address={config.flower_address}",
        f"--port={config.flower_port}",
        "--read_only=True",
        # the photograph, its batch, how it ended and why
        "--tasks_columns=args,kwargs,state,exception,runtime,received,worker,uuid",
        "--max_tasks=100000",
        "--purge_offline_workers=3600",
    ]  # fmt: skip
    os.execv(command[0], command)  # noqa: S606
