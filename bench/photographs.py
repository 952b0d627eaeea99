"""Photographs to measure with: a few sample photographs made into many of a given size.

The same folder, count and seed give the same files, so two machines measure the same work. There
are two sets, because the content decides how long a PNG takes and how large it is:

noisy: with a sensor's noise, so that the JPEGs have as many bytes per pixel as a camera's.
smooth: without noise. Enlarged samples have little detail left, like studio photographs on a plain
background; they are cheap for every PNG encoder.
"""

from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

PhotoSet = Literal["noisy", "smooth"]
PHOTO_SETS: tuple[PhotoSet, ...] = get_args(PhotoSet)

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"}
ASPECT_RATIOS = ((4, 3), (3, 4), (3, 2), (1, 1), (4, 5))
SEED = 20
JPEG_QUALITY = 92
NOISE = {"noisy": 4.5, "smooth": 0.0}
"""Standard deviation of the noise at medium brightness, of 255. With 4.5 the JPEGs have 0.28 bytes
per pixel, as the samples have at their own size and this quality; without noise they have 0.11."""
MAX_TURN_DEGREES = 4


class Workload(NamedTuple):
    """Photographs of one set and size."""

    photo_set: PhotoSet
    megapixels: float


def photographs(
    source: Path, folder: Path, megapixels: float, count: int, photo_set: PhotoSet = "noisy"
) -> list[Path]:
    """Return `count` JPEGs below `folder`, made from the photographs in `source` if missing."""
    samples = sorted(path for path in source.iterdir() if path.suffix.lower() in SUFFIXES)
    if not samples:
        raise SystemExit(f"bench: {source} holds no photographs; choose another folder.")
    folder = folder / f"{megapixels:g}-{SEED}-{NOISE[photo_set]:g}"
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:04d}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        if not path.exists():
            partial = path.with_suffix(".partial")
            _photograph(samples, number, megapixels, NOISE[photo_set]).save(
                partial, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:0"
            )
            partial.replace(path)
    return paths


def _photograph(samples: list[Path], number: int, megapixels: float, noise: float) -> Image.Image:
    """Return photograph `number`: a varied sample, or a mosaic of four if they must be enlarged."""
    random = np.random.default_rng((SEED, number))
    width, height = ASPECT_RATIOS[number % len(ASPECT_RATIOS)]
    scale = (megapixels * 1e6 / (width * height)) ** 0.5
    size = (round(width * scale), round(height * scale))
    first = _open(samples[number % len(samples)])
    enlarged = first.width * first.height < size[0] * size[1]
    if enlarged and number % 3 == 2:
        tiles = [_open(samples[(number + k) % len(samples)]) for k in range(4)]
        canvas = _mosaic(tiles, size, random)
    else:
        canvas = _varied(first, size, random)
    return _noisy(canvas, random, noise) if enlarged and noise else canvas


def _open(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def _mosaic(
    tiles: list[Image.Image], size: tuple[int, int], random: np.random.Generator
) -> Image.Image:
    canvas = Image.new("RGB", size)
    half = (-(-size[0] // 2), -(-size[1] // 2))
    for index, tile in enumerate(tiles):
        corner = (index % 2 * (size[0] // 2), index // 2 * (size[1] // 2))
        canvas.paste(_varied(tile, half, random), corner)
    return canvas


def _varied(image: Image.Image, size: tuple[int, int], random: np.random.Generator) -> Image.Image:
    """Mirror, turn a little and crop at random, then resize to `size` (width, height)."""
    if random.random() < 0.5:
        image = ImageOps.mirror(image)
    angle = random.uniform(-MAX_TURN_DEGREES, MAX_TURN_DEGREES)
    turned = image.rotate(angle, Image.Resampling.BICUBIC)
    width, height = (
        0.92 * side for side in image.size
    )  # without the corners that turning blackens
    zoom = random.uniform(0.85, 1.0) * min(width / size[0], height / size[1])
    crop = (size[0] * zoom, size[1] * zoom)
    left, top = ((a - b) * random.uniform(0.4, 0.6) for a, b in zip(image.size, crop, strict=True))
    box = (left, top, left + crop[0], top + crop[1])
    return turned.resize(size, Image.Resampling.LANCZOS, box=box)


def _noisy(image: Image.Image, random: np.random.Generator, sigma: float) -> Image.Image:
    """Add noise like a sensor's: stronger in bright areas, the same in all three channels."""
    pixels: NDArray[np.int16] = np.asarray(image, np.int16)
    noise = random.standard_normal(pixels.shape[:2], np.float32)[..., np.newaxis]
    strength = sigma * np.sqrt(0.25 + pixels.mean(axis=2, keepdims=True, dtype=np.float32) / 128)
    noisy = pixels + np.rint(noise * strength).astype(np.int16)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
