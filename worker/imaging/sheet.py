"""Draws a contact sheet: pictures on a checkerboard, with captions; failures in red."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from worker.imaging.decode import Photograph

PICTURE_SIDE, CAPTION_HEIGHT, GAP, SQUARE = 240, 34, 12, 12
"""Side of a picture, height of its caption, gap between cells, side of a checkerboard square."""
MAX_COLUMNS = 8
MAX_CELLS = 400
"""A sheet of these takes 40 MB of memory."""
FONT_SIZE = 13
WHITE, BLACK, RED, PINK = "#ffffff", "#222222", "#b00020", "#fdecee"


@dataclass(frozen=True, slots=True)
class Tile:
    """A picture that fits a cell, or a failure in its place."""

    caption: str
    picture: Image.Image | None
    """mode RGBA, at most PICTURE_SIDE high and wide; None if it failed"""
    code: str = ""
    """of the failure"""


def tile_of(photograph: Photograph, caption: str) -> Tile:
    """Return the tile of a picture."""
    return Tile(caption, _shrunk(photograph))


def _shrunk(photograph: Photograph) -> Image.Image:
    """Return a picture that fits a cell, as RGBA. Colours are weighted by their alpha."""
    factor = max(1, max(photograph.size) // (2 * PICTURE_SIDE))
    rgb = photograph.rgb.reduce(factor)
    picture = rgb.convert("RGBA")
    if photograph.alpha:
        picture.putalpha(photograph.alpha.reduce(factor))
    premultiplied = picture.convert("RGBa")
    premultiplied.thumbnail((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.BOX, reducing_gap=None)
    return premultiplied.convert("RGBA")


def draw_sheet(counts: Sequence[int], tiles: Iterable[Tile]) -> Image.Image:
    """Draw groups of `counts` tiles each; every group begins a row of its own.

    The tiles are requested one by one, so that only one picture is in memory.
    """
    columns = max(1, min(MAX_COLUMNS, max(counts, default=0)))
    rows = sum(-(-count // columns) for count in counts)
    width, height = PICTURE_SIDE + GAP, PICTURE_SIDE + CAPTION_HEIGHT + GAP
    sheet = Image.new("RGB", (columns * width + GAP, max(1, rows) * height + GAP), WHITE)
    for (column, row), tile in zip(_places(counts, columns), tiles, strict=True):
        sheet.paste(_cell(tile), (GAP + column * width, GAP + row * height))
    return sheet


def _places(counts: Sequence[int], columns: int) -> Iterator[tuple[int, int]]:
    """Yield (column, row) of each tile."""
    first_row = 0
    for count in counts:
        for number in range(count):
            yield number % columns, first_row + number // columns
        first_row += -(-count // columns)


def _cell(tile: Tile) -> Image.Image:
    cell = Image.new("RGB", (PICTURE_SIDE, PICTURE_SIDE + CAPTION_HEIGHT), WHITE)
    draw = ImageDraw.Draw(cell)
    font = ImageFont.load_default(FONT_SIZE)
    if tile.picture is None:
        box = (0, 0, PICTURE_SIDE - 1, PICTURE_SIDE - 1)
        draw.rectangle(box, fill=PINK, outline=RED, width=2)
        middle = (PICTURE_SIDE / 2, PICTURE_SIDE / 2)
        draw.text(middle, _fitting(tile.code, font), fill=RED, font=font, anchor="mm")
    else:
        cell.paste(_checkerboard(), (0, 0))
        corner = tuple((PICTURE_SIDE - side) // 2 for side in tile.picture.size)
        cell.paste(tile.picture, (corner[0], corner[1]), tile.picture)
    colour = RED if tile.picture is None else BLACK
    draw.text((0, PICTURE_SIDE + 6), _fitting(tile.caption, font), fill=colour, font=font)
    return cell


def _checkerboard() -> Image.Image:
    rows, columns = np.indices((PICTURE_SIDE, PICTURE_SIDE)) // SQUARE
    values = np.where((rows + columns) % 2, 255, 205).astype(np.uint8)
    return Image.fromarray(values).convert("RGB")


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Return the end of a text that fits a cell, with an ellipsis if something is missing."""
    if font.getlength(text) <= PICTURE_SIDE:
        return text
    while text and font.getlength(f"...{text}") > PICTURE_SIDE:
        text = text[1:]
    return f"...{text}"
