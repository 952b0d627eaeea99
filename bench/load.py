"""Photographs to measure with: a few good ones made into many, of a wanted number of pixels.

The same folder, count and seed give the same files, so that two machines measure the same work.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"}
SHAPES = ((4, 3), (3, 4), (3, 2), (1, 1), (4, 5))
SEED = 20
QUALITY = 92
NOISE = 4.5
"""Of 255. With it the JPEGs have 0.28 bytes a pixel, as the samples themselves have at this quality
and their own size, and as cameras' have: enlarged photographs without it have half, and nothing
that makes PNGs slow or large."""


def photographs(source: Path, folder: Path, megapixels: float, count: int) -> list[Path]:
    """Return `count` JPEGs below `folder`, made of the photographs in `source` if need be."""
    found = sorted(path for path in source.iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise SystemExit(f"bench: there are no photographs in {source}.")
    folder = folder / f"{megapixels:g}-{SEED}-{NOISE:g}"
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:04d}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        if not path.exists():
            partial = path.with_suffix(".partial")
            _photograph(found, number, megapixels).save(
                partial, "JPEG", quality=QUALITY, subsampling="4:2:0"
            )
            partial.replace(path)
    return paths


def _photograph(found: list[Path], number: int, megapixels: float) -> Image.Image:
    """Return number `number`: one photograph, or a mosaic of four where ours are small."""
    random = np.random.default_rng((SEED, number))
    across, down = SHAPES[number % len(SHAPES)]
    scale = (megapixels * 1e6 / (across * down)) ** 0.5
    size = (round(across * scale), round(down * scale))
    first = _open(found[number % len(found)])
    enlarged = first.width * first.height < size[0] * size[1]
    if enlarged and number % 3 == 2:
        tiles = [_open(found[(number + k) % len(found)]) for k in range(4)]
        canvas = _mosaic(tiles, size, random)
    else:
        canvas = _varied(first, size, random)
    return _noisy(canvas, random) if enlarged else canvas


def _open(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def _mosaic(
    tiles: list[Image.Image], size: tuple[int, int], random: np.random.Generator
) -> Image.Image:
    canvas = Image.new("RGB", size)
    half = (-(-size[0] // 2), -(-size[1] // 2))
    for place, tile in enumerate(tiles):
        corner = (place % 2 * (size[0] // 2), place // 2 * (size[1] // 2))
        canvas.paste(_varied(tile, half, random), corner)
    return canvas


def _varied(image: Image.Image, size: tuple[int, int], random: np.random.Generator) -> Image.Image:
    """Flip, turn a little, crop at random to the shape of `size`, and bring to `size`."""
    if random.random() < 0.5:
        image = ImageOps.mirror(image)
    turned = image.rotate(random.uniform(-4, 4), Image.Resampling.BICUBIC)
    width, height = (0.92 * side for side in image.size)  # without the corners the turn left black
    zoom = random.uniform(0.85, 1.0) * min(width / size[0], height / size[1])
    crop = (size[0] * zoom, size[1] * zoom)
    left, top = ((a - b) * random.uniform(0.4, 0.6) for a, b in zip(image.size, crop, strict=True))
    box = (left, top, left + crop[0], top + crop[1])
    return turned.resize(size, Image.Resampling.LANCZOS, box=box)


def _noisy(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Add a sensor's noise, more in the light than in the dark, the same in all three channels."""
    pixels: NDArray[np.int16] = np.asarray(image, np.int16)
    noise = random.standard_normal(pixels.shape[:2], np.float32)[..., np.newaxis]
    strength = NOISE * np.sqrt(0.25 + pixels.mean(axis=2, keepdims=True, dtype=np.float32) / 128)
    noisy = pixels + np.rint(noise * strength).astype(np.int16)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
