"""What goes into a batch and what comes out: photographs, and the rows of its report."""

import csv
import io
from pathlib import Path

import numpy as np
from PIL import Image


def photograph(path: Path, seed: int = 0, size: tuple[int, int] = (160, 120)) -> None:
    """Write a JPEG of a bright blob on noise; each seed gives another picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    width, height = size
    ground = random.integers(0, 60, (height, width, 3), dtype=np.uint8)
    rows, columns = np.indices((height, width))
    centre = random.uniform(0.4, 0.6, 2) * (height, width)
    blob = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < (min(size) / 3) ** 2
    ground[blob] = random.integers(150, 255, 3)
    Image.fromarray(ground).save(path, "JPEG", quality=90)


def report_rows(text: str) -> list[dict[str, str]]:
    """Return the rows of a report.csv."""
    return list(csv.DictReader(io.StringIO(text)))
