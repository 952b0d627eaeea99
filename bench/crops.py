"""Draws crops at 100 % for docs/quality.md: the photograph, and its cut-outs by several recipes.

usage: crops.py OUT.jpg PHOTOGRAPH:LEFT,TOP [PHOTOGRAPH:LEFT,TOP ...]

Each row is a crop of 300 x 260 pixels: the photograph; `refine: none`; `refine: edges` with one
pass and with two. Cut-outs lie on white, black or green, by row.
"""

import sys
from pathlib import Path

from bare_pipeline import load_session
from PIL import Image, ImageDraw

from contract.quality import Quality
from worker.imaging.cutout import compose
from worker.imaging.decode import Limits, decode
from worker.models.session import Session

MODEL = "u2netp-int8"
RECIPES = {
    "refine: none": Quality(refine="none", passes=1),
    "refine: edges": Quality(refine="edges", passes=1),
    "edges, passes: 2": Quality(refine="edges", passes=2),
}
CROP = (300, 260)
GAP, HEAD = 6, 22
BACKGROUNDS = ("white", "black", "#00b140")


def main() -> None:
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    session = load_session(MODEL)
    width = (CROP[0] + GAP) * (1 + len(RECIPES)) - GAP
    sheet = Image.new("RGB", (width, HEAD + (CROP[1] + GAP) * len(sys.argv[2:]) - GAP), "#808080")
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(("photograph", *RECIPES)):
        draw.text((column * (CROP[0] + GAP) + 4, 4), title, "white", font_size=14)
    for number, argument in enumerate(sys.argv[2:]):
        name, _, corner = argument.rpartition(":")
        left, top = map(int, corner.split(","))
        crops = _crops(session, Path(name), (left, top), BACKGROUNDS[number % len(BACKGROUNDS)])
        for column, crop in enumerate(crops):
            sheet.paste(crop, (column * (CROP[0] + GAP), HEAD + number * (CROP[1] + GAP)))
    sheet.save(sys.argv[1], quality=88, subsampling=0)


def _crops(
    session: Session, path: Path, corner: tuple[int, int], background: str
) -> list[Image.Image]:
    photograph = decode(path.read_bytes(), Limits())
    box = (*corner, corner[0] + CROP[0], corner[1] + CROP[1])
    crops = [photograph.rgb.crop(box)]
    for quality in RECIPES.values():
        matte = session.matte(photograph.shown(), quality).alpha
        cutout = compose(photograph, matte, decontaminate=quality.decontaminate)
        rgba = Image.fromarray(cutout.rows(0, cutout.size[1])).crop(box)
        crop = Image.new("RGB", CROP, background)
        crop.paste(rgba, (0, 0), rgba)
        crops.append(crop)
    return crops


if __name__ == "__main__":
    main()
