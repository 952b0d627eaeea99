"""Draws photographs above their cut-outs, which lie on a checkerboard, in one picture.

usage: contact_sheet.py PHOTOGRAPHS CUTOUTS SHEET.png
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

CELL, GAP, SQUARE = 300, 12, 12
"""Sides of a cell, of the gap between cells and of a checkerboard square, in pixels."""


def checkerboard(size: int) -> Image.Image:
    rows, columns = np.indices((size, size)) // SQUARE
    return Image.fromarray(np.where((rows + columns) % 2, 255, 205).astype(np.uint8)).convert("RGB")


def cell(picture: Image.Image, background: Image.Image) -> Image.Image:
    tile = background.copy()
    small = ImageOps.contain(picture.convert("RGBA"), tile.size, Image.Resampling.LANCZOS)
    corner = ((tile.width - small.width) // 2, (tile.height - small.height) // 2)
    tile.paste(small, corner, small)
    return tile


def main(photographs: Path, cutouts: Path, sheet: Path) -> None:
    pairs = [(p, cutouts / f"{p.stem}.png") for p in sorted(photographs.glob("*.jpg"))]
    pairs = [(before, after) for before, after in pairs if after.exists()]
    step = CELL + GAP
    canvas = Image.new("RGB", (len(pairs) * step + GAP, 2 * step + GAP), "white")
    backgrounds = (Image.new("RGB", (CELL, CELL), "white"), checkerboard(CELL))
    for column, pair in enumerate(pairs):
        for row, (path, background) in enumerate(zip(pair, backgrounds, strict=True)):
            with Image.open(path) as picture:
                tile = cell(ImageOps.exif_transpose(picture), background)
            canvas.paste(tile, (GAP + column * step, GAP + row * step))
    canvas.save(sheet)
    print(f"Contact sheet: {sheet}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
