"""The figures of one run, from its outputs: when each was finished, its size and its mask."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from meter import Meter
from numpy.typing import NDArray
from PIL import Image


@dataclass
class RunResult:
    """One program's run over the photographs of one size, without start and warm-up."""

    rate: float
    """images per second of the whole machine"""
    cpu: dict[str, float]
    """CPU seconds per image, by part of the program"""
    bytes_together: int
    """peak memory of all processes together"""
    bytes_largest: int
    """peak memory of the largest process"""
    output_bytes: float
    """mean size of an output"""
    masks: dict[str, NDArray[np.uint8]] = field(repr=False)
    """by the photograph's name: alpha > 127, packed eight pixels to a byte"""
    stages: dict[str, float] = field(default_factory=dict)
    """mean milliseconds per image, by stage; empty for rembg"""


def measure(shares: list[list[Path]], meter: Meter, processes: int, skip: int) -> RunResult:
    """Return the figures from the moments at which the outputs were finished.

    A share is the outputs of the processes that work off one queue or folder. The first `skip`
    outputs of each process are its warm-up. After that, only whole rounds are counted, as many
    outputs as the share has processes: they often finish in step, so part of a round would count
    too little or too much. The last round is left out too, as some processes are idle by then.
    """
    share_processes = processes // len(shares)
    rate, starts, ends = 0.0, [], []
    for share in shares:
        # the inode's change time: programs cannot set it, and it includes a rename into place
        moments = sorted(path.stat().st_ctime_ns / 1e9 for path in share)
        first = share_processes * skip
        images = (len(moments) - share_processes - first) // share_processes * share_processes
        if images <= 0:
            raise SystemExit("bench: too few photographs to measure; raise --count.")
        starts.append(moments[first])
        ends.append(moments[first + images])
        rate += images / (ends[-1] - starts[-1])
    start, end = max(starts), min(ends)
    images_between = rate * (end - start)
    files = [path for share in shares for path in share]
    by_photograph = {path.stem.rpartition("-")[2]: path for path in files}
    return RunResult(
        rate=rate,
        cpu={part: seconds / images_between for part, seconds in meter.cpu(start, end).items()},
        bytes_together=meter.bytes_together,
        bytes_largest=meter.largest(),
        output_bytes=sum(path.stat().st_size for path in files) / len(files),
        masks={name: _mask(path) for name, path in by_photograph.items()},
    )


def agreement(one: RunResult, other: RunResult) -> float:
    """Return the mean IoU of the masks, 0..1. Two empty masks agree."""
    ious = []
    for name, mask in one.masks.items():
        both = np.bitwise_count(mask & other.masks[name]).sum(dtype=int)
        either = np.bitwise_count(mask | other.masks[name]).sum(dtype=int)
        ious.append(both / either if either else 1.0)
    return float(np.mean(ious))


def _mask(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        alpha = np.asarray(image.getchannel("A"))
    return np.packbits(alpha > 127)
