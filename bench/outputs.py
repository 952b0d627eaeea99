"""What a run left behind: when each cut-out was finished, how large it is, and its mask."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from meter import Meter
from numpy.typing import NDArray
from PIL import Image


@dataclass
class Pass:
    """One side's run over the photographs of one size, starts and warm-up left out."""

    rate: float
    """images a second, of the whole machine"""
    cpu: dict[str, float]
    """CPU seconds of an image, by part"""
    together: int
    largest: int
    size: float
    """bytes of an output, in the mean"""
    masks: dict[str, NDArray[np.uint8]] = field(repr=False)
    """alpha over a half, as packed bits, by the photograph's name"""
    stages: dict[str, float] = field(default_factory=dict)
    """milliseconds of an image, in the mean, where the side says"""


def measured(shares: list[list[Path]], meter: Meter, processes: int, skip: int) -> Pass:
    """Judge both sides alike, by the moments their outputs were finished.

    A share is what some of the processes work off together: all of a queue, or one's own folder.
    The first `skip` outputs of each process are its warm-up. Then whole turns are counted, as
    many outputs as there are processes: those often finish in step, and a part of a turn would
    tell too little or too much. In what is left out at the end some have no more work.
    """
    each = processes // len(shares)
    rate, starts, ends = 0.0, [], []
    for share in shares:
        # the inode's time: no program can set it, and a rename into place counts
        moments = sorted(path.stat().st_ctime_ns / 1e9 for path in share)
        first = each * skip
        images = (len(moments) - each - first) // each * each
        if images <= 0:
            raise SystemExit("bench: there are too few photographs to measure with; raise --count.")
        starts.append(moments[first])
        ends.append(moments[first + images])
        rate += images / (ends[-1] - starts[-1])
    start, end = max(starts), min(ends)
    images_then = rate * (end - start)
    files = [path for share in shares for path in share]
    different = {path.stem.rpartition("-")[2]: path for path in files}
    return Pass(
        rate=rate,
        cpu={part: seconds / images_then for part, seconds in meter.cpu(start, end).items()},
        together=meter.together,
        largest=meter.largest(),
        size=sum(path.stat().st_size for path in files) / len(files),
        masks={name: _mask(path) for name, path in different.items()},
    )


def agreement(ours: Pass, theirs: Pass) -> float:
    """Return the mean IoU of the masks; two empty ones agree."""
    shares = []
    for name, mask in ours.masks.items():
        both = np.bitwise_count(mask & theirs.masks[name]).sum(dtype=int)
        either = np.bitwise_count(mask | theirs.masks[name]).sum(dtype=int)
        shares.append(both / either if either else 1.0)
    return float(np.mean(shares))


def _mask(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        alpha = np.asarray(image.getchannel("A"))
    return np.packbits(alpha > 127)
