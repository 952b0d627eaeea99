import io
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from support.images import SRGB
from support.paths import SAMPLES

from worker.imaging.png import encoder, filters, strategy


def cutout(height: int, width: int, seed: int = 1) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 4), np.uint8)
    pixels[..., 3][::2] //= 64  # much of it nearly or wholly transparent
    pixels[pixels[..., 3] == 0] = 0
    return pixels


def encode(pixels: np.ndarray, *profile_and_resolution) -> bytes:
    height, width, _ = pixels.shape
    return encoder.encode(
        lambda top, bottom: pixels[top:bottom], (width, height), *profile_and_resolution
    )


CUTOUTS = {
    "1x1": cutout(1, 1),
    "1xN": cutout(1, 3000),
    "Nx1": cutout(3000, 1),
    "odd": cutout(97, 211),
    "wide": cutout(2, 60_000),
    "wider than a strip": cutout(3, 100_000),
    "a line wider than a sample": cutout(1, 100_000),
    "tall": cutout(60_000, 2),
    "transparent": np.zeros((40, 30, 4), np.uint8),
    "opaque": np.full((40, 30, 4), 255, np.uint8),
    # `Cutout` clears colour under zero alpha; the encoder keeps the pixels it gets
    "hidden colour": np.dstack([cutout(20, 20)[..., :3], np.zeros((20, 20), np.uint8)]),
    "a view": cutout(40, 60)[::-2, 5:50:3],
}


@pytest.mark.slow
@pytest.mark.parametrize("pixels", CUTOUTS.values(), ids=list(CUTOUTS))
def test_a_png_decodes_to_the_same_pixels(pixels: np.ndarray):
    data = encode(pixels)
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.mode, image.info.get("icc_profile")) == ("PNG", "RGBA", None)
        assert (np.asarray(image) == pixels).all()
    assert data[24:26] == bytes([8, 6])  # 8 bits a sample, RGB with alpha
    assert encode(pixels.copy()) == data


def test_the_profile_comes_back_to_the_byte():
    data = encode(cutout(20, 30), SRGB)
    with Image.open(io.BytesIO(data)) as image:
        assert image.info["icc_profile"] == SRGB
    assert encode(cutout(20, 30), SRGB) == data
    assert encode(cutout(20, 30)) != data


def test_the_resolution_comes_back():
    with Image.open(io.BytesIO(encode(cutout(20, 30), None, (11_811, 2_835)))) as image:
        assert image.info["dpi"] == pytest.approx((300, 72), abs=0.02)


def gradient(height: int, width: int) -> np.ndarray:
    down, across = np.mgrid[0:height, 0:width]
    return np.dstack([down, across, down + across, 255 - down // 2]).astype(np.uint8)


def island(height: int, width: int) -> np.ndarray:
    pixels = np.zeros((height, width, 4), np.uint8)
    pixels[height // 4 : height // 2, width // 3 : width // 2] = 200
    return pixels


TEXTURES = {
    "noise": cutout,
    "gradient": gradient,
    "island": island,
    "flat": lambda height, width: np.full((height, width, 4), 37, np.uint8),
}


@pytest.mark.slow
@given(
    textures=st.lists(st.sampled_from(sorted(TEXTURES)), min_size=1, max_size=4),
    width=st.one_of(st.integers(1, 20), st.integers(1000, 5000)),
    height=st.integers(1, 70),
)
def test_textures_may_follow_each_other_in_any_order(textures: list[str], width: int, height: int):
    """Changes of content switch filter and compressor between strips and within them."""
    pixels = np.concatenate([TEXTURES[texture](height, width) for texture in textures])
    data = encode(pixels)
    with Image.open(io.BytesIO(data)) as image:
        assert (np.asarray(image) == pixels).all()
    assert encode(pixels) == data


@pytest.mark.slow
def test_lines_are_requested_a_strip_at_a_time():
    requests, pixels = [], gradient(1000, 1000)

    def rows(top: int, bottom: int) -> np.ndarray:
        requests.append((top, bottom))
        return pixels[top:bottom]

    encoder.encode(rows, (1000, 1000))
    assert max(bottom - top for top, bottom in requests) < 200
    count = strategy.SAMPLE_BYTES // 4000
    samples, strips = requests[:count], requests[count:]
    assert {bottom - top for top, bottom in samples} == {2}
    # each strip with the line above it
    assert [top for top, _ in strips] == [0, *(bottom - 1 for _, bottom in strips[:-1])]
    assert strips[-1][1] == 1000


@pytest.mark.parametrize("name", list(filters.Filter))
def test_each_filter_predicts_as_the_specification_says(name: filters.Filter):
    rng = np.random.default_rng(2)
    pixels = np.concatenate([
        rng.integers(0, 256, (40, 60, 4), np.uint8), rng.integers(0, 4, (40, 60, 4), np.uint8)
    ])  # fmt: skip
    lines = pixels.reshape(80, 240)
    above = np.concatenate([np.zeros_like(lines[:1]), lines[:-1]])
    out, scratch = np.empty_like(lines), np.empty((5, *lines.shape), np.uint8)
    filters._write_residuals(name, lines, above, out, scratch)
    stream = zlib.compress(np.hstack([np.full((80, 1), name, np.uint8), out]).tobytes())
    with Image.open(io.BytesIO(_with_stream(encode(pixels), stream))) as image:
        assert (np.asarray(image) == pixels).all()


def _with_stream(data: bytes, stream: bytes) -> bytes:
    file = io.BytesIO()
    file.write(data[:33])  # signature and IHDR
    encoder._write_chunk(file, b"IDAT", stream)
    encoder._write_chunk(file, b"IEND", b"")
    return file.getvalue()


def photographs() -> dict[str, np.ndarray]:
    pictures = {}
    for name in ("cat", "coffee", "rocket"):
        with Image.open(SAMPLES / f"{name}.jpg") as image:
            colours = image.convert("RGB")
        grey = colours.convert("L").filter(ImageFilter.GaussianBlur(20))
        soft = grey.point(lambda value: min(255, max(0, (value - 60) * 4)))
        for style, alpha in (("opaque", Image.new("L", colours.size, 255)), ("cut out", soft)):
            pixels = np.dstack([np.asarray(colours), np.asarray(alpha)])
            pixels[pixels[..., 3] == 0] = 0
            pictures[f"{name} {style}"] = pixels
    noise = np.random.default_rng(4).normal(0, 6, pictures["cat opaque"].shape)
    noisy = (pictures["cat opaque"] + noise).clip(0, 255).astype(np.uint8)
    pictures["noisy"] = noisy
    return pictures


PHOTOGRAPHS = photographs()


@pytest.mark.parametrize("pixels", PHOTOGRAPHS.values(), ids=list(PHOTOGRAPHS))
def test_files_are_at_most_two_percent_larger_than_pillows(pixels: np.ndarray):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    assert len(encode(pixels)) <= 1.02 * buffer.tell()
