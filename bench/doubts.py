"""Measures how often doubts about the subject are right: `make quality EVAL=DIR EMPTY=DIR`.

Every photograph in EVAL (NAME.jpg) shows a subject. Without one are the pictures that
`plain_pictures.py` draws, and every photograph in EMPTY, if it is given. For each model and number
of passes it prints `no_subject`'s

precision   share of the refused photographs that have no subject
recall      share of the photographs without a subject that are refused

and then the names of those it got wrong. Of photographs with NAME.alpha.png beside them, it prints
how often the other doubts are right: `ambiguous_subject`, if the matte's IoU is below 0.8, and
`subject_cut_by_frame`, on the photographs as they are and cropped through the subject.
"""

import argparse
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import plain_pictures
from bare_pipeline import load_session
from PIL import Image

from contract.errors import ErrorCode
from contract.quality import Quality
from worker.imaging.decode import Limits, decode
from worker.imaging.matting import Matte
from worker.models.session import Session
from worker.runtime import use_one_blas_thread

MODELS = ("u2netp-int8", "u2net-int8")
SEEDS = 3
"""Drawn pictures of each kind."""
RIGHT_IOU = 0.8
KEPT = 0.7
"""Share of the subject's box that a crop through the subject keeps."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("eval", type=Path, help="folder of photographs with a subject")
    parser.add_argument("--empty", type=Path, help="folder of photographs without one")
    parser.add_argument("--model", choices=MODELS, action="append", help="default: both")
    parser.add_argument("--passes", type=int, choices=(1, 2), action="append", help="default: both")
    options = parser.parse_args()
    use_one_blas_thread()
    print("| model | passes | half | with | without | precision | recall |")
    print("|---|---:|---|---:|---:|---:|---:|")
    wrong = []
    for model in options.model or MODELS:
        session = load_session(model)
        for passes in options.passes or (1, 2):
            quality = Quality(refine="none", passes=passes)
            wrong += compare(session, quality, options.eval, options.empty)
    print(*wrong, sep="\n")
    if any(options.eval.glob("*.alpha.png")):
        for model in options.model or MODELS:
            print(other_doubts(load_session(model), options.eval))


def compare(session: Session, quality: Quality, full: Path, empty: Path | None) -> list[str]:
    """Print a row for each half of the pictures and one for all; return those it got wrong."""
    name = f"{session.model.name}, {quality.passes}"
    wrong, counts = [], np.zeros((2, 2, 2), int)
    for label, picture, is_empty in labelled(full, empty):
        refused = ErrorCode.NO_SUBJECT in session.matte(picture, quality).doubts
        counts[half(label), int(is_empty), int(refused)] += 1
        if refused != is_empty:
            wrong.append(f"{name}: {label} {'was refused' if refused else 'was not refused'}")
    for title, part in zip(
        ("chosen on", "held out", "all"), (*counts, counts.sum(axis=0)), strict=True
    ):
        (_, false), (missed, true) = part
        figures = f"{ratio(true, true + false)} | {ratio(true, true + missed)}"
        sizes = f"{part[0].sum()} | {part[1].sum()}"
        row = f"{session.model.name} | {quality.passes} | {title} | {sizes} | {figures}"
        print(f"| {row} |", flush=True)
    return wrong


def labelled(full: Path, empty: Path | None) -> Iterator[tuple[str, Image.Image, bool]]:
    """Yield the name and pixels of each picture, and whether it has no subject."""
    for path in sorted(full.glob("*.jpg")):
        yield path.stem, decode(path.read_bytes(), Limits()).shown(), False
    for kind in plain_pictures.KINDS:
        for seed in range(SEEDS):
            yield f"drawn_{kind.__name__}_{seed}", plain_pictures.draw(kind, seed), True
    for path in sorted(empty.glob("*.jpg")) if empty else ():
        yield path.stem, decode(path.read_bytes(), Limits()).shown(), True


def half(label: str) -> int:
    """Return 0 for the half on which limits are chosen, 1 for the one that is held out."""
    return zlib.crc32(label.encode()) % 2


def ratio(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else ""


def other_doubts(session: Session, full: Path) -> str:
    """Return a sentence about doubts whose truth exact alpha tells."""
    ambiguous, cut, cropped = np.zeros((2, 2), int), np.zeros(2, int), np.zeros(2, int)
    quality = Quality(refine="none", passes=2)
    for number, path in enumerate(sorted(full.glob("*.alpha.png"))):
        photograph = path.with_name(path.name.replace(".alpha.png", ".jpg"))
        picture = decode(photograph.read_bytes(), Limits()).shown()
        alpha = Image.open(path).convert("L")
        matte = session.matte(picture, quality)
        doubtful = int(bool({ErrorCode.AMBIGUOUS_SUBJECT, ErrorCode.NO_SUBJECT} & {*matte.doubts}))
        ambiguous[int(overlap(matte, alpha) < RIGHT_IOU), doubtful] += 1
        cut[int(ErrorCode.SUBJECT_CUT_BY_FRAME in matte.doubts)] += 1
        box = through_subject(alpha, number % 4)
        doubts = session.matte(picture.crop(box), quality).doubts
        cropped[int(ErrorCode.SUBJECT_CUT_BY_FRAME in doubts)] += 1
    return (
        f"{session.model.name}, 2: ambiguous or refused are {ambiguous[1, 1]} of"
        f" {ambiguous[1].sum()} wrong mattes and {ambiguous[0, 1]} of {ambiguous[0].sum()} right"
        f" ones; cut by the frame are {cropped[1]} of {cropped.sum()} crops through the subject and"
        f" {cut[1]} of {cut.sum()} whole subjects"
    )


def overlap(matte: Matte, alpha: Image.Image) -> float:
    """Return the IoU of a matte and exact alpha, both cut off at 0.5."""
    found, true = (np.asarray(image) > 127 for image in (matte.alpha, alpha))
    return float((found & true).sum() / max((found | true).sum(), 1))


def through_subject(alpha: Image.Image, side: int) -> tuple[int, int, int, int]:
    """Return a box that cuts off the right, left, lower or upper part of the subject."""
    opaque = alpha.point(lambda value: 255 * (value > 127)).getbbox() or (0, 0, *alpha.size)
    left, top, right, bottom = opaque
    across, down = KEPT * (right - left), KEPT * (bottom - top)
    return (
        (0, 0, int(left + across), alpha.height), (int(right - across), 0, *alpha.size),
        (0, 0, alpha.width, int(top + down)), (0, int(bottom - down), *alpha.size),
    )[side]  # fmt: skip


if __name__ == "__main__":
    main()
