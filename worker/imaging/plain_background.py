"""Measures a picture on a plain background: the background's purity, and where the subject is.

A pixel that differs from the background's colour by more than SUBJECT_DIFFERENCE in a channel
belongs to the subject. The picture is divided into blocks of 8 x 8 pixels, those of a JPEG. The
background are the blocks without subject that can be reached from the picture's sides over such
blocks; those within EDGE_SHARE of the subject are left out: compression and soft edges may change
them. Openings within the subject, such as that of a handle, are not measured.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worker.imaging.arrays import BoolArray, Uint8Array

BLOCK = 8
"""Side of a block, in pixels."""
SUBJECT_DIFFERENCE = 10
"""Levels of 255. Compression changes the pixels of a block at a subject's edge by more."""
EDGE_SHARE = 0.01
"""Of the longer side: how far from the subject the background is measured, in whole blocks."""
FAINT_DIFFERENCE = 40
"""Levels of 255 up to which a pixel of the subject is faint."""
STRIP_PIXELS = 1 << 20
"""Pixels that are measured at a time."""

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class OnPlainBackground:
    """What was measured."""

    background_pixels: int
    impure_pixels: int
    """of the background: those that do not have exactly its colour"""
    largest_difference: int
    """of an impure pixel, in levels of 255"""
    fill: float
    """share of the width that the subject takes, or of the height if that is more, in %"""
    touched_sides: tuple[str, ...]
    """sides of the picture with a pixel of the subject: left, top, right, bottom"""
    soft_edge: float
    """width of a faint rim around the subject, in pixels, at most about 12: the faint pixels within
    two blocks of the background beyond the share that they have farther inside, for each pixel of
    the outline. So a light product has none."""


@dataclass(slots=True)
class _Blocks:
    """Counts for each block; arrays [block rows, block columns]."""

    pixels: Counts
    subject: Counts
    faint: Counts
    impure: Counts
    largest: Counts


def measure_on(image: Image.Image, colour: tuple[int, int, int]) -> OnPlainBackground:
    """Measure a picture (mode RGB) on a background of one colour."""
    width, height = image.size
    columns, rows = np.zeros(width, np.bool_), np.zeros(height, np.bool_)
    strips = []
    step = BLOCK * max(1, STRIP_PIXELS // (width * BLOCK))
    for top in range(0, height, step):
        bottom = min(top + step, height)
        difference = _difference(np.asarray(image.crop((0, top, width, bottom))), colour)
        subject = difference > SUBJECT_DIFFERENCE
        columns |= subject.any(axis=0)
        rows[top:bottom] = subject.any(axis=1)
        strips.append(_blocks(difference, subject))
    blocks = _Blocks(*(np.concatenate(parts) for parts in zip(*map(_parts, strips), strict=True)))
    return _summarised(blocks, columns, rows)


def _difference(pixels: Uint8Array, colour: tuple[int, int, int]) -> Uint8Array:
    """Return the largest difference of a channel from a colour: uint8 [height, width]."""
    wanted = np.array(colour, np.uint8)
    largest: Uint8Array = (np.maximum(pixels, wanted) - np.minimum(pixels, wanted)).max(axis=2)
    return largest


def _blocks(difference: Uint8Array, subject: BoolArray) -> _Blocks:
    faint = subject & (difference <= FAINT_DIFFERENCE)
    impure = np.where(subject, np.uint8(0), difference)
    return _Blocks(
        _reduced(np.ones_like(subject), "sum"), _reduced(subject, "sum"), _reduced(faint, "sum"),
        _reduced(impure > 0, "sum"), _reduced(impure, "max"),
    )  # fmt: skip


def _reduced(values: Uint8Array | BoolArray, how: str) -> Counts:
    """Return the sum or maximum of each block. Blocks at the right and bottom may be smaller."""
    height, width = values.shape
    padded = np.pad(values, ((0, -height % BLOCK), (0, -width % BLOCK)))
    blocks = padded.reshape(len(padded) // BLOCK, BLOCK, -1, BLOCK)
    reduced: Counts = getattr(blocks, how)(axis=(1, 3)).astype(np.int64)
    return reduced


def _parts(blocks: _Blocks) -> tuple[Counts, ...]:
    return blocks.pixels, blocks.subject, blocks.faint, blocks.impure, blocks.largest


def _summarised(blocks: _Blocks, columns: BoolArray, rows: BoolArray) -> OnPlainBackground:
    has_subject = blocks.subject > 0
    reached = reached_from_sides(~has_subject)
    edge = has_subject
    for _ in range(max(1, math.ceil(EDGE_SHARE * max(len(columns), len(rows)) / BLOCK))):
        edge = _widened(edge)
    background = reached & ~edge
    outline = has_subject & _widened(reached)
    rim = has_subject & _widened(_widened(reached))
    sides = np.array([columns[0], rows[0], columns[-1], rows[-1]])
    return OnPlainBackground(
        background_pixels=int(blocks.pixels[background].sum()),
        impure_pixels=int(blocks.impure[background].sum()),
        largest_difference=int(blocks.largest[background].max(initial=0)),
        fill=float(100 * max(_extent(columns), _extent(rows))),
        touched_sides=tuple(
            side
            for side, touched in zip(("left", "top", "right", "bottom"), sides, strict=True)
            if touched
        ),
        soft_edge=_rim_width(blocks, rim, has_subject & ~rim) / max(1, int(outline.sum())),
    )


def _rim_width(blocks: _Blocks, rim: BoolArray, inside: BoolArray) -> float:
    """Return the faint pixels of the rim that the inside does not explain, per line of a block."""
    share = blocks.faint[inside].sum() / max(1, blocks.subject[inside].sum())
    unexplained = blocks.faint[rim].sum() - share * blocks.subject[rim].sum()
    return max(0.0, float(unexplained) / BLOCK)


def _extent(flags: BoolArray) -> float:
    """Return the range from the first to the last True of bool [count], as a share of all."""
    true = np.flatnonzero(flags)
    return (true[-1] + 1 - true[0]) / len(flags) if len(true) else 0


def _widened(flags: BoolArray) -> BoolArray:
    """Return bool [rows, columns] with the eight neighbours of each True."""
    padded = np.pad(flags, 1)
    across = padded[:, :-2] | padded[:, 1:-1] | padded[:, 2:]
    widened: BoolArray = across[:-2] | across[1:-1] | across[2:]
    return widened


def reached_from_sides(free: BoolArray) -> BoolArray:
    """Return the True of bool [rows, columns] that are connected to a side through True."""
    reached = np.zeros_like(free)
    reached[[0, -1]], reached[:, [0, -1]] = free[[0, -1]], free[:, [0, -1]]
    before = -1
    while (count := int(reached.sum())) != before:
        before = count
        reached = _filled_runs(free, reached)
        reached = _filled_runs(free.T, reached.T).T
    return reached


def _filled_runs(free: BoolArray, reached: BoolArray) -> BoolArray:
    """Return the runs of True in each row of `free` that hold a True of `reached`."""
    walls = ~free
    walls[:, 0] = True  # a row begins a run of its own
    runs = np.cumsum(walls).reshape(free.shape)
    hit = np.zeros(int(runs[-1, -1]) + 1, np.bool_)
    hit[runs[reached]] = True
    filled: BoolArray = free & hit[runs]
    return filled
