import numpy as np
import pytest
from PIL import Image

from contract.quality import Quality
from worker.imaging.layout import Box
from worker.imaging.matting import matte_of
from worker.imaging.second_pass import MARGIN, agrees, subject_region

SIDE = 320
SIZE = (1600, 1000)
TWICE = Quality(passes=2)


def view(*rectangles: Box, opacity: float = 255) -> np.ndarray:
    """A network's matte with rectangles, float32 [320, 320]."""
    matte = np.zeros((SIDE, SIDE), np.float32)
    for left, top, right, bottom in rectangles:
        matte[top:bottom, left:right] = opacity
    return matte


def test_the_region_is_the_subjects_box_with_a_margin():
    region = subject_region(view((100, 80, 200, 240)), SIZE)
    across, down = 100 * MARGIN, 160 * MARGIN
    expected = [(100 - across) * 5, (80 - down) * 3.125, (200 + across) * 5, (240 + down) * 3.125]
    assert region == pytest.approx(expected, abs=1)


def test_the_margin_ends_at_the_frame():
    assert subject_region(view((0, 2, 40, 60)), SIZE)[:2] == (0, 0)


@pytest.mark.parametrize("size", [(1, 900), (3, 900), (900, 1), (900, 3)])
def test_the_region_of_a_narrow_photograph_has_a_pixel(size: tuple[int, int]):
    matte = view((4, 100, 24, 200)) if size[0] < size[1] else view((100, 4, 200, 24))
    left, top, right, bottom = subject_region(matte, size)
    assert (0 <= left < right <= size[0], 0 <= top < bottom <= size[1]) == (True, True)


@pytest.mark.parametrize(
    "matte",
    [
        view(),
        view((100, 80, 200, 240), opacity=120),
        view((10, 10, 310, 310)),
        view((100, 200, 220, 320)),
        view((0, 60, 60, 300)),
        view((20, 100, 80, 200), (240, 100, 300, 200)),
        view((100, 20, 200, 60), (100, 260, 200, 310)),
    ],
    ids=["empty", "faint", "nearly all", "bottom", "left", "two across", "two down"],
)
def test_a_doubtful_matte_has_no_region(matte: np.ndarray):
    assert subject_region(matte, SIZE) is None


def test_a_speck_far_away_is_no_second_part():
    assert subject_region(view((100, 100, 200, 200), (300, 300, 306, 306)), SIZE) is not None


REGION = (400, 250, 1200, 750)
"""a quarter of a photograph of SIZE: the middle"""
MIDDLE = view((120, 120, 200, 200))


@pytest.mark.parametrize(
    ("second", "believed"),
    [
        (view((80, 80, 240, 240)), True),
        (view((70, 90, 230, 250)), True),
        (view((80, 80, 240, 150)), False),
        (view((80, 80, 240, 240), (280, 10, 320, 60)), False),
        (view(), False),
        (view((0, 0, 320, 320)), False),
    ],
    ids=["same", "moved a little", "half lost", "another part", "lost", "everything"],
)
def test_a_second_matte_must_agree_with_the_first(second: np.ndarray, believed: bool):
    assert agrees(MIDDLE, second, REGION, SIZE) is believed


class Network:
    """Answers with one view of the whole photograph, with another one of any other box."""

    def __init__(
        self,
        first: np.ndarray,
        second: np.ndarray | None = None,
        from_mirror: np.ndarray | None = None,
    ):
        self.first, self.second, self.from_mirror = first, second, from_mirror
        self.boxes: list[Box] = []
        self.mirrored_boxes: list[Box] = []

    def __call__(self, box: Box, *, mirrored: bool = False) -> np.ndarray:
        if mirrored:
            self.mirrored_boxes.append(box)
            return self.from_mirror
        self.boxes.append(box)
        return self.first if len(self.boxes) == 1 else self.second


@pytest.mark.parametrize("refine", ["none", "edges"])
def test_the_second_view_replaces_the_first(refine: str):
    photograph = Image.new("RGB", SIZE, "red")
    region = subject_region(MIDDLE, SIZE)
    network = Network(MIDDLE, view((48, 48, 272, 272)))
    matte = matte_of(photograph, network, Quality(refine=refine, passes=2)).alpha
    assert network.boxes == [(0, 0, *SIZE), region]
    assert (matte.mode, matte.size) == ("L", SIZE)
    values = np.asarray(matte)
    assert values[500, 800] == 255
    left, top, right, bottom = region
    assert not values[:top].any()
    assert not values[bottom:].any()
    assert not values[:, :left].any()
    assert not values[:, right:].any()
    single = Quality(refine=refine, passes=1)
    once = np.asarray(matte_of(photograph, Network(MIDDLE), single).alpha)
    assert (values != once).any()


@pytest.mark.parametrize("refine", ["none", "edges"])
def test_the_first_view_stays_if_the_second_disagrees(refine: str):
    photograph = Image.new("RGB", SIZE, "red")
    network = Network(MIDDLE, view())
    twice = matte_of(photograph, network, Quality(refine=refine, passes=2)).alpha
    once = matte_of(photograph, Network(MIDDLE), Quality(refine=refine, passes=1)).alpha
    assert len(network.boxes) == 2
    assert twice.tobytes() == once.tobytes()


def test_the_first_view_stays_if_the_network_is_less_sure_in_the_box():
    photograph = Image.new("RGB", SIZE, "red")
    fainter = view((48, 48, 272, 272))
    fainter[150:170] *= 0.6
    network = Network(MIDDLE, fainter)
    assert agrees(MIDDLE, fainter, subject_region(MIDDLE, SIZE), SIZE)
    twice = matte_of(photograph, network, TWICE).alpha
    once = matte_of(photograph, Network(MIDDLE), Quality(passes=1)).alpha
    assert len(network.boxes) == 2
    assert twice.tobytes() == once.tobytes()


def test_a_subject_that_goes_on_outside_is_looked_at_once():
    network = Network(view((0, 60, 60, 300)))
    matte_of(Image.new("RGB", SIZE), network, TWICE)
    assert network.boxes == [(0, 0, *SIZE)]
    assert network.mirrored_boxes == []


FAINT = np.maximum(view((20, 20, 60, 60), opacity=110), view((20, 20, 22, 22)))
UNSURE = np.maximum(
    view((120, 120, 200, 200), (40, 40, 120, 60), opacity=160), view((150, 150, 152, 152))
)


@pytest.mark.parametrize("refine", ["none", "edges"])
def test_a_doubtful_view_gives_way_to_a_more_confident_one_of_the_mirror_image(refine: str):
    photograph = Image.new("RGB", SIZE, "red")
    quality = Quality(refine=refine, passes=2)
    second = view((48, 48, 272, 272))
    network = Network(FAINT, second, from_mirror=MIDDLE)
    matte = matte_of(photograph, network, quality)
    assert network.mirrored_boxes == [(0, 0, *SIZE)]
    assert network.boxes == [(0, 0, *SIZE), subject_region(MIDDLE, SIZE)]
    assert matte == matte_of(photograph, Network(MIDDLE, second), quality)


@pytest.mark.parametrize("from_mirror", [FAINT, view()], ids=["fainter", "empty"])
def test_a_doubtful_view_stays_if_the_mirror_image_is_more_doubtful(from_mirror: np.ndarray):
    photograph = Image.new("RGB", SIZE, "red")
    network = Network(UNSURE, view(), from_mirror=from_mirror)
    matte = matte_of(photograph, network, TWICE)
    once = matte_of(photograph, Network(UNSURE), Quality(passes=1))
    assert network.mirrored_boxes == [(0, 0, *SIZE)]
    assert matte.alpha == once.alpha


def test_one_pass_never_looks_at_the_mirror_image():
    network = Network(FAINT)
    matte_of(Image.new("RGB", SIZE), network, Quality(passes=1))
    assert (network.boxes, network.mirrored_boxes) == ([(0, 0, *SIZE)], [])


@pytest.mark.parametrize(
    ("first", "from_mirror"),
    [(0.80, 0.83), (0.3, 0.7)],
    ids=["hardly more confident", "in doubt itself"],
)
def test_a_doubtful_view_stays_if_the_mirror_image_is_no_better(first: float, from_mirror: float):
    photograph = Image.new("RGB", SIZE, "red")
    faint = as_confident(first, (20, 20, 60, 60))
    network = Network(faint, from_mirror=as_confident(from_mirror, (120, 120, 200, 200)))
    matte = matte_of(photograph, network, TWICE).alpha
    once = matte_of(photograph, Network(faint), Quality(passes=1)).alpha
    assert network.mirrored_boxes == [(0, 0, *SIZE)]
    assert matte.tobytes() == once.tobytes()


def as_confident(confidence: float, rectangle: Box) -> np.ndarray:
    """A matte of that confidence: nearly all of a rectangle is equally soft."""
    left, top, _, _ = rectangle
    opaque = view((left, top, left + 1, top + 1))
    return np.maximum(view(rectangle, opacity=255 * (1 + confidence) / 2), opaque)
