"""What a model takes on this machine: measured once, remembered beside the weights."""

import contextlib
import json
import os
import platform
import time
from pathlib import Path

from PIL import Image

from worker.cpu.count import available_cpus
from worker.models.registry import Model
from worker.models.session import Session

RUNS = 5
REMEMBERED = ".speed.json"
BUSY = 0.5
"""Of the CPUs, in the last minute: what is measured then is too much, and not remembered."""


def milliseconds(model: Model, folder: Path) -> float | None:
    """Return what an image takes on one thread, or None where the weights are not here.

    Measured when it is first asked for on a machine that is not busy: the least of five runs, as
    other work only adds to it.
    """
    path, remembered = folder / model.file, folder / REMEMBERED
    if not path.exists():
        return None
    # other weights or another machine are measured anew
    key = f"{model.name} {path.stat().st_mtime_ns} {platform.node()}"
    times: dict[str, float] = {}
    with contextlib.suppress(OSError, ValueError):
        times = json.loads(remembered.read_text())
    if key in times:
        return times[key]
    busy = os.getloadavg()[0] > BUSY * available_cpus()
    times[key] = _measured(model, path)
    if not busy:
        with contextlib.suppress(OSError):  # a folder that only others may write to
            remembered.write_text(json.dumps(times))
    return times[key]


def _measured(model: Model, path: Path) -> float:
    session = Session(model, path, "", threads=1)
    image = Image.effect_noise((model.side, model.side), 64).convert("RGB")
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        session.matte(image)
        times.append(time.perf_counter() - start)
    return round(min(times) * 1000, 1)
