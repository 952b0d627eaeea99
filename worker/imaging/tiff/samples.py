"""Reads by tifffile the TIFFs that Pillow reads wrongly or not at all, in bounded memory."""

import io
import logging
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from contract.errors import ErrorCode, PermanentError
from worker.imaging.arrays import Uint8Array
from worker.imaging.tiff.directory import Page
from worker.imaging.tiff.layout import (
    ASSOCIATED,
    BYTE,
    CMYK,
    FLOAT,
    LERC,
    RGB,
    WEBP,
    WHITE_IS_ZERO,
    Layout,
)

WHITE = 255
RESOLUTION = 282
INCH, CENTIMETRE = 2, 3
"""Values of ResolutionUnit."""
FLOAT_TOLERANCE = 1e-3
"""Floats may lie so far outside of 0..1, by rounding."""
LERC_SIZE = slice(14, 22)
"""Bytes of a LERC2 block that hold its height and width."""

logging.getLogger("tifffile").disabled = True  # what it reports about odd metadata helps nobody


class Samples(NamedTuple):
    """A decoded page, as it is stored."""

    image: Image.Image
    """mode L, RGB or CMYK"""
    alpha: Image.Image | None
    """mode L"""
    profile: bytes | None
    dpi: tuple[float, float] | None


def read_samples(data: bytes, page: Page, layout: Layout) -> Samples:
    """Decode a page.

    Colours are not premultiplied. Raises PermanentError (`unsupported_format`) for floats beyond
    0..1, EOFError if the file ends before its samples, and what tifffile raises.
    """
    shape = (layout.height, layout.width, len(layout.bits))
    pixels = np.zeros(shape, np.uint8)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        stored = file.pages[page.index]
        if not isinstance(stored, tifffile.TiffPage) or (
            (stored.imagelength, stored.imagewidth, stored.samplesperpixel) != shape
        ):
            raise ValueError("the page's tags contradict each other")
        _check_segments(data, stored, layout)
        for segment, (plane, _, top, left, _), _ in stored.segments(maxworkers=1):
            if segment is None:
                raise EOFError("the file lacks a part of its samples")
            part = segment[0, : shape[0] - top, : shape[1] - left]
            rows, columns = part.shape[:2]
            channel = slice(plane, plane + 1) if layout.in_planes else slice(None)
            pixels[top : top + rows, left : left + columns, channel] = _as_bytes(part, layout)
        profile, dpi = stored.iccprofile, _dpi(stored)
    image, alpha = _as_image(pixels, layout)
    return Samples(image, alpha, profile, dpi)


def _dpi(stored: tifffile.TiffPage) -> tuple[float, float] | None:
    """Return the resolution; None if it is missing or has no absolute unit."""
    if RESOLUTION not in stored.tags:
        return None
    if stored.resolutionunit not in {INCH, CENTIMETRE}:
        return None
    return stored.get_resolution(INCH)


def _check_segments(data: bytes, stored: tifffile.TiffPage, layout: Layout) -> None:
    """Check that strips or tiles lie within the file and unpack to no more than they should.

    tifffile limits what other compressions unpack to; the image formats state their own size.
    """
    ends = (a + b for a, b in zip(stored.dataoffsets, stored.databytecounts, strict=True))
    if max(ends, default=0) > len(data):
        raise EOFError("the file ends before its samples")
    if layout.compression not in {WEBP, LERC}:
        return
    expected = stored.chunks[-3] * stored.chunks[-2]
    for width, height in _stated_sizes(data, stored, layout):
        if width * height > max(expected, layout.width * layout.height):
            raise ValueError("a strip or tile is larger than the image")


def _stated_sizes(
    data: bytes, stored: tifffile.TiffPage, layout: Layout
) -> Iterator[tuple[int, int]]:
    """Yield the (width, height) that each strip or tile states in its own header."""
    for offset, length in zip(stored.dataoffsets, stored.databytecounts, strict=True):
        segment = memoryview(data)[offset : offset + length]
        if layout.compression == WEBP:
            with Image.open(io.BytesIO(segment), formats=["WEBP"]) as image:
                yield image.size
        else:
            height, width = np.frombuffer(segment[LERC_SIZE], "<u4").tolist()
            yield width, height


def _as_bytes(samples: NDArray[np.generic], layout: Layout) -> Uint8Array:
    """Return samples of any depth as uint8 of the same shape: their upper byte."""
    if layout.sample_formats == {FLOAT}:
        values = np.nan_to_num(samples.astype(np.float32))
        low, high = float(values.min(initial=0)), float(values.max(initial=0))
        if low < -FLOAT_TOLERANCE or high > 1 + FLOAT_TOLERANCE:
            message = f"TIFF with floats of {low:.3g} to {high:.3g}, not 0 to 1, is not decoded."
            raise PermanentError(ErrorCode.UNSUPPORTED_FORMAT, message)
        return (np.clip(values, 0, 1) * WHITE + np.float32(0.5)).astype(np.uint8)
    depth = layout.bits[0]
    integers = samples.astype(np.uint16, copy=False)
    return (integers >> (depth - BYTE)).astype(np.uint8)


def _as_image(pixels: Uint8Array, layout: Layout) -> tuple[Image.Image, Image.Image | None]:
    """Return the colours and the opacity of uint8 [height, width, samples]."""
    count = layout.colours
    colours = pixels[..., :count]
    if layout.photometric == WHITE_IS_ZERO:
        colours = WHITE - colours
    mode = {RGB: "RGB", CMYK: "CMYK"}.get(layout.photometric, "L")
    image = Image.fromarray(np.ascontiguousarray(colours if count > 1 else colours[..., 0]), mode)
    if layout.alpha is None:
        return image, None
    channel = count + layout.extra.index(layout.alpha)
    alpha = Image.fromarray(np.ascontiguousarray(pixels[..., channel]))
    if layout.alpha == ASSOCIATED:
        premultiplied = image.convert("RGB")
        premultiplied.putalpha(alpha)
        straight = Image.frombuffer(
            "RGBa", image.size, premultiplied.tobytes(), "raw", "RGBa", 0, 1
        )
        image = straight.convert("RGBA").convert("RGB")
    return image, alpha
