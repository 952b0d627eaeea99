import pytest
from PIL import Image

from worker.imaging.difference import difference


def box(*corners: int, alpha: int = 255, size: tuple[int, int] = (100, 80)) -> Image.Image:
    matte = Image.new("L", size, 0)
    matte.paste(alpha, corners)
    return matte


def test_a_matte_does_not_differ_from_itself():
    found = difference(box(10, 10, 50, 50), box(10, 10, 50, 50))
    assert (found.iou, found.edge) == (1, 0)


def test_masks_are_compared_by_their_overlap():
    assert difference(box(0, 0, 40, 40), box(0, 20, 40, 60)).iou == pytest.approx(1 / 3)
    assert difference(box(0, 0, 40, 40), box(50, 0, 90, 40)).iou == 0
    nothing = box(0, 0, 0, 0)
    assert (difference(nothing, nothing).iou, difference(nothing, nothing).edge) == (1, 0)
    assert difference(box(0, 0, 40, 40), nothing).iou == 0


def test_edges_are_compared_by_their_alpha_and_the_inside_is_left_out():
    whole = box(20, 20, 60, 60)
    softer = whole.copy()
    softer.paste(box(20, 20, 21, 60, alpha=128).crop((20, 20, 21, 60)), (20, 20))
    found = difference(whole, softer)
    assert (found.iou, found.edge > 0) == (1, True)
    shifted = difference(whole, box(21, 20, 61, 60))
    assert shifted.edge > found.edge


@pytest.mark.slow
def test_large_mattes_are_compared_small():
    whole, half = (box(0, 0, w, 3000, size=(4000, 3000)) for w in (2000, 1000))
    assert difference(whole, half).iou == pytest.approx(0.5, abs=0.01)
