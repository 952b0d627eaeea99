"""How long a model takes for an image on this machine: measured once, stored beside the weights."""

import contextlib
import json
import os
import platform
import time
from pathlib import Path

from PIL import Image

from contract.cpus import available_cpus
from contract.quality import Quality
from worker.models.registry import Model
from worker.models.session import Session

ONE_PASS = Quality(refine="none", passes=1)
RUNS = 5
SPEED_FILE = ".speed.json"
"""Name of the file in the model folder: milliseconds by model, weights and machine."""
BUSY_SHARE = 0.5
"""If more than this share of the CPUs was busy in the last minute, the time is not stored, as other
processes made it too long."""


def milliseconds(model: Model, folder: Path) -> float | None:
    """Return the time for one image on one thread, or None if the weights are not there.

    Measured at the first call on a machine that is not busy: the shortest of five runs, as other
    processes only make a run longer.
    """
    path, speed_file = folder / model.file, folder / SPEED_FILE
    if not path.exists():
        return None
    # measured again after the weights or the machine changed
    key = f"{model.name} {path.stat().st_mtime_ns} {platform.node()}"
    times: dict[str, float] = {}
    with contextlib.suppress(OSError, ValueError):
        times = json.loads(speed_file.read_text())
    if key in times:
        return times[key]
    busy = os.getloadavg()[0] > BUSY_SHARE * available_cpus()
    times[key] = _measure(model, path)
    if not busy:
        with contextlib.suppress(OSError):  # the folder may be read-only
            speed_file.write_text(json.dumps(times))
    return times[key]


def _measure(model: Model, path: Path) -> float:
    session = Session(model, path, "", threads=1)
    image = Image.effect_noise((model.side, model.side), 64).convert("RGB")
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        session.matte(image, ONE_PASS)
        times.append(time.perf_counter() - start)
    return round(min(times) * 1000, 1)
