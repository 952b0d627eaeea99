"""What a model takes on this machine: measured once, remembered beside the weights."""

import contextlib
import json
import platform
import time
from pathlib import Path

from PIL import Image

from worker.models.registry import Model
from worker.models.session import Session

RUNS = 5
REMEMBERED = ".speed.json"
DOT_PRODUCTS = frozenset({"avx512_vnni", "avx_vnni", "asimddp"})
"""Linux's names for x86 VNNI (AVX-512 and AVX2) and the ARM dot product."""


def milliseconds(model: Model, folder: Path) -> float | None:
    """Return what an image takes on one thread, or None where the weights are not here.

    Measured the first time it is asked for: the least of five runs, as other work only adds to it.
    """
    path, remembered = folder / model.file, folder / REMEMBERED
    if not path.exists():
        return None
    # other weights or another machine are measured anew
    key = f"{model.name} {path.stat().st_mtime_ns} {platform.node()}"
    times: dict[str, float] = {}
    with contextlib.suppress(OSError, ValueError):
        times = json.loads(remembered.read_text())
    if key not in times:
        times[key] = _measured(model, path)
        with contextlib.suppress(OSError):  # a folder that only others may write to
            remembered.write_text(json.dumps(times))
    return times[key]


def int8_dot_product(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether this CPU multiplies and adds bytes in one instruction; unknown counts as no.

    Without it the INT8 models are little faster than their float models, and 16-bit sums may
    saturate: a session must then ask for `session.x64quantprecision`.
    """
    if platform.system() == "Darwin":
        return platform.machine() == "arm64"
    try:
        words = cpuinfo.read_text().split()
    except OSError:
        return False
    return not DOT_PRODUCTS.isdisjoint(words)


def _measured(model: Model, path: Path) -> float:
    session = Session(model, path, "", threads=1)
    image = Image.effect_noise((model.side, model.side), 64).convert("RGB")
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        session.matte(image)
        times.append(time.perf_counter() - start)
    return round(min(times) * 1000, 1)
