"""Draws photographs and their cut-outs, on a checkerboard, into one picture.

usage: contact_sheet.py PHOTOGRAPHS CUTOUTS SHEET.png
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

CELL, GAP, SQUARE = 300, 12, 12


def checkerboard(size: int) -> Image.Image:
    rows, columns = np.indices((size, size)) // SQUARE
    return Image.fromarray(np.where((rows + columns) % 2, 255, 205).astype(np.uint8)).convert("RGB")


def cell(picture: Image.Image, ground: Image.Image) -> Image.Image:
    tile = ground.copy()
    small = ImageOps.contain(picture.convert("RGBA"), tile.size, Image.Resampling.LANCZOS)
    corner = ((tile.width - small.width) // 2, (tile.height - small.height) // 2)
    tile.paste(small, corner, small)
    return tile


def main(photographs: Path, cutouts: Path, sheet: Path) -> None:
    pairs = [(p, cutouts / f"{p.stem}.png") for p in sorted(photographs.glob("*.jpg"))]
    pairs = [(before, after) for before, after in pairs if after.exists()]
    step = CELL + GAP
    canvas = Image.new("RGB", (len(pairs) * step + GAP, 2 * step + GAP), "white")
    grounds = (Image.new("RGB", (CELL, CELL), "white"), checkerboard(CELL))
    for column, pair in enumerate(pairs):
        for row, (path, ground) in enumerate(zip(pair, grounds, strict=True)):
            with Image.open(path) as picture:
                tile = cell(ImageOps.exif_transpose(picture), ground)
            canvas.paste(tile, (GAP + column * step, GAP + row * step))
    canvas.save(sheet)
    print(f"Contact sheet: {sheet}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
