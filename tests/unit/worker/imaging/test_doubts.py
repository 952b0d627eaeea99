import time

import numpy as np
import pytest
from PIL import Image

from contract.errors import ErrorCode
from contract.quality import Quality
from worker.imaging.doubts import Evidence, doubts, measure
from worker.imaging.matting import matte_of

SIDE = 320
NONE, AMBIGUOUS, CUT = (
    ErrorCode.NO_SUBJECT, ErrorCode.AMBIGUOUS_SUBJECT, ErrorCode.SUBJECT_CUT_BY_FRAME
)  # fmt: skip


def saliency(*boxes: tuple[int, int, int, int], value: float = 1, side: int = SIDE) -> np.ndarray:
    values = np.zeros((side, side), np.float32)
    for left, top, right, bottom in boxes:
        values[top:bottom, left:right] = value
    return values


def smear(height: float) -> np.ndarray:
    """A hill without an edge, as networks give for textures."""
    down, across = np.mgrid[0:SIDE, 0:SIDE]
    squares = (down - 160) ** 2 + (across - 150) ** 2
    return (height * np.exp(-squares / (2 * 60**2))).astype(np.float32)


NOISE = np.random.default_rng(1).random((SIDE, SIDE)).astype(np.float32)
WHOLE = saliency((100, 80, 220, 240))
SCATTERED = ((40, 40, 80, 80), (240, 120, 280, 160), (80, 240, 120, 280))
THIN = saliency((158, 20, 162, 300))


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (WHOLE, ()),
        (THIN, ()),
        (saliency((100, 80, 220, 240), side=1024), ()),
        (saliency(), (NONE,)),
        (np.full((SIDE, SIDE), np.nan, np.float32), (NONE,)),
        (np.full((SIDE, SIDE), np.inf, np.float32), (NONE,)),
        (NOISE * 0.1, (NONE,)),
        (smear(0.7), (NONE,)),
        (smear(1.0), (NONE,)),
        (saliency((0, 0, 320, 310)), (NONE,)),
        (saliency((0, 200, 320, 240)), (CUT,)),
        (saliency((0, 40, 320, 300)), (CUT,)),
        (saliency((120, 0, 200, 320)), (CUT,)),
        (saliency(*SCATTERED, value=0.92), (NONE,)),
        (saliency(*SCATTERED), ()),
        (saliency((100, 80, 220, 240), value=0.92), (AMBIGUOUS,)),
        (saliency((100, 160, 220, 320)), (CUT,)),
        (saliency((0, 40, 220, 300)), (CUT,)),
        (saliency((100, 160, 108, 320)), ()),
        (saliency((100, 160, 220, 320), value=0.92), (AMBIGUOUS, CUT)),
    ],
    ids=[
        "whole", "thin", "of a larger network", "empty", "nan", "inf", "faint noise", "faint smear",
        "smear", "everything", "wide", "cut at both sides", "tall", "scattered",
        "sure of several parts", "hesitant", "cut below", "cut at the left", "touches with a tip",
        "hesitant and cut",
    ],
)  # fmt: skip
def test_what_a_network_sees_raises_these_doubts(values: np.ndarray, found: tuple[ErrorCode, ...]):
    assert doubts(measure(values)) == found


def test_measures_are_shares():
    evidence = measure(saliency((0, 80, 160, 240)))
    assert evidence == Evidence(certainty=1, share=0.25, contact=0.5, fill=1)
    corners = measure(saliency((0, 0, 32, 160), (288, 80, 320, 160)))
    assert corners == Evidence(certainty=1, share=0.075, contact=0.5, fill=0.15)


def test_stretching_does_not_hide_that_nothing_was_found():
    photograph = Image.new("RGB", (400, 300), "white")
    matte = matte_of(photograph, lambda _box: smear(0.02), Quality(refine="none", passes=1))
    assert matte.alpha.getextrema() == (0, 255)  # what the matte alone looks like
    assert matte.doubts == (NONE,)


@pytest.mark.parametrize(
    ("first", "mirror_image", "found"), [(WHOLE, None, ()), (smear(0.9), WHOLE, ())]
)
def test_doubts_are_about_the_view_of_the_whole_photograph_that_is_used(first, mirror_image, found):
    def predict(box, *, mirrored=False):
        whole = box == (0, 0, 400, 300)
        return mirror_image if mirrored else first if whole else smear(0.2)

    assert matte_of(Image.new("RGB", (400, 300)), predict, Quality(passes=2)).doubts == found
    once = matte_of(Image.new("RGB", (400, 300)), predict, Quality(passes=1))
    assert once.doubts == doubts(measure(first))


HESITANT = np.maximum(saliency((100, 80, 220, 240), value=0.9), saliency((150, 150, 152, 152)))
FROM_NEAR = saliency((42, 42, 278, 278))
"""its box with a margin, if the network is sure of it then"""


@pytest.mark.parametrize("mirror_image", [saliency(), smear(0.2)], ids=["empty", "smear"])
@pytest.mark.parametrize(
    ("near", "found"),
    [(FROM_NEAR, (AMBIGUOUS,)), (saliency(), (NONE,)), (FROM_NEAR * 0.9, (NONE,)),
     (saliency((10, 10, 60, 60)), (NONE,))],
    ids=["seen", "lost", "hesitant", "another"],
)  # fmt: skip
def test_what_is_seen_from_one_side_alone_is_no_subject(mirror_image, near, found):
    def predict(box, *, mirrored=False):
        return mirror_image if mirrored else HESITANT if box == (0, 0, 400, 300) else near

    photograph = Image.new("RGB", (400, 300))
    assert matte_of(photograph, predict, Quality(passes=2)).doubts == found
    assert matte_of(photograph, predict, Quality(passes=1)).doubts == (AMBIGUOUS,)


def test_a_picture_that_is_full_of_it_is_not_looked_at_from_near():
    full = np.maximum(saliency((0, 0, 320, 260), value=0.9), saliency((150, 150, 152, 152)))

    def predict(box, *, mirrored=False):
        assert box == (0, 0, 400, 300)
        return saliency((0, 0, 320, 320)) * 0.5 if mirrored else full

    assert matte_of(Image.new("RGB", (400, 300)), predict, Quality(passes=2)).doubts == (NONE,)


def test_measuring_costs_next_to_nothing():
    start = time.process_time()
    for _ in range(10):
        doubts(measure(NOISE))
    assert time.process_time() - start < 10  # a guard against quadratic work, not a benchmark
