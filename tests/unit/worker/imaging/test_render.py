import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from support.images import LIMITS, encoded, exif

from contract.errors import ErrorCode, PermanentError
from contract.rendition import PLAIN, Rendition
from worker.imaging import render as rendering
from worker.imaging.cutout import Cutout, compose
from worker.imaging.decode import Photograph, decode
from worker.imaging.layout import lay_out
from worker.imaging.render import Picture
from worker.imaging.subject import NOISE_ALPHA, clear_outside

RED, BLUE = (200, 30, 40), (0, 0, 255)


def render(cutout: Cutout, rendition: Rendition) -> Picture:
    """Render as worker/process.py does."""
    return rendering.render(clear_outside(cutout, rendition.roi), rendition)


def photograph(size: tuple[int, int], box: tuple[int, int, int, int], alpha: int = 255) -> Cutout:
    """A red rectangle, cut out of a blue background."""
    rgb, matte = Image.new("RGB", size, BLUE), Image.new("L", size, 0)
    rgb.paste(RED, box)
    matte.paste(alpha, box)
    return compose(Photograph(rgb, None), matte)


def pixels(picture: Picture | Cutout) -> np.ndarray:
    return picture.rows(0, picture.size[1])


def box_of(picture: Picture) -> tuple[int, int, int, int] | None:
    return Image.fromarray(pixels(picture)[..., 3]).getbbox()


@st.composite
def cutouts(draw: st.DrawFn, max_side: int = 50) -> Cutout:
    """Noise with a subject somewhere, perhaps with a source's own alpha, perhaps of one pixel."""
    width, height = draw(st.integers(1, max_side)), draw(st.integers(1, max_side))
    left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    right, bottom = draw(st.integers(left + 1, width)), draw(st.integers(top + 1, height))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    matte = np.zeros((height, width), np.uint8)
    matte[top:bottom, left:right] = rng.integers(128, 256, (bottom - top, right - left))
    own = draw(st.sampled_from([None, rng.integers(200, 256, (height, width)).astype(np.uint8)]))
    rgb = rng.integers(0, 256, (height, width, 3), np.uint8)
    source = Photograph(Image.fromarray(rgb), None if own is None else Image.fromarray(own))
    return compose(source, Image.fromarray(matte))


LENGTHS = st.one_of(st.integers(0, 60).map("{}px".format), st.integers(0, 50).map("{}%".format))
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "scale": st.floats(10, 100),
        "position": st.tuples(st.floats(0, 100), st.floats(0, 100)),
        "size": st.floats(0.001, 0.003),
        "roi": st.tuples(LENGTHS, LENGTHS, st.just("90%"), st.just("100%")),
        "max_side": st.integers(1, 40),
        "canvas": st.sampled_from(["1:1", "3:2", "2:7", "30x20", "7x60"]),
    },
)
CROPS = st.one_of(
    st.just({}),
    st.just({"crop": True}),
    st.tuples(LENGTHS, LENGTHS, LENGTHS, LENGTHS).map(lambda m: {"crop": True, "crop_margin": m}),
)


LIMITING = ("size", "max_side")


@given(cutouts(), FIELDS, CROPS)
def test_any_rendition_keeps_the_invariants(cutout: Cutout, fields: dict, crop: dict):
    """Sizes agree, strips are those of the whole, nothing hidden is published."""
    if "x" in fields.get("canvas", ""):
        fields = {name: value for name, value in fields.items() if name not in LIMITING}
    if "canvas" in fields and "scale" in fields:
        crop = {}
    rendition = Rendition(**fields, **crop)
    before = pixels(cutout).copy()
    try:
        picture = render(cutout, rendition)
    except PermanentError:
        assert rendition.roi
        return
    width, height = picture.size
    result = pixels(picture)
    assert (result.shape, result.dtype) == ((height, width, 4), np.uint8)
    assert (result[result[..., 3] == 0] == 0).all()
    assert (np.asarray(picture.matte()) == result[..., 3]).all()
    middle = height // 2
    strips = [picture.rows(0, middle), picture.rows(middle, height)]
    assert (np.concatenate(strips) == result).all()
    if rendition.size:
        assert width * height <= rendition.size * 1e6
    if rendition.max_side:
        assert max(width, height) <= rendition.max_side
    if rendition.canvas_size:
        assert (width, height) == rendition.canvas_size
    if rendition.aspect == (1, 1):
        assert width == height
    assert (pixels(cutout) == before).all()


@given(cutouts())
def test_the_plain_rendition_is_the_cut_out_itself(cutout: Cutout):
    picture = render(cutout, PLAIN)
    assert picture.is_plain
    assert picture.cutout is cutout
    assert (pixels(picture) == pixels(cutout)).all()
    assert picture.matte() is cutout.alpha


def test_a_photograph_without_subject_stays_plain_but_cannot_be_cropped():
    cutout = photograph((20, 10), (0, 0, 20, 10), alpha=0)
    assert not pixels(render(cutout, PLAIN)).any()
    assert not pixels(render(cutout, Rendition(size=0.001, roi=("5px", "0", "10px", "5px")))).any()
    for fields in ({"crop": True}, {"scale": 50}, {"position": (0, 0)}):
        with pytest.raises(PermanentError) as caught:
            render(cutout, Rendition(**fields))
        assert caught.value.code is ErrorCode.NO_SUBJECT


# crop


def test_a_crop_holds_the_subjects_pixels_and_nothing_else():
    cutout = photograph((50, 40), (7, 9, 30, 31))
    picture = render(cutout, Rendition(crop=True))
    assert (pixels(picture) == pixels(cutout)[9:31, 7:30]).all()


def test_margins_are_top_right_bottom_left_and_of_the_subjects_own_size():
    cutout = photograph((200, 100), (50, 40, 90, 60))  # 40 x 20
    picture = render(cutout, Rendition(crop=True, crop_margin=("5px", "25%", "10%", "10px")))
    assert picture.size == (10 + 40 + 10, 5 + 20 + 2)
    assert box_of(picture) == (10, 5, 50, 25)


def test_a_margin_beyond_the_photograph_is_transparent():
    cutout = photograph((30, 20), (0, 0, 30, 20))
    picture = render(cutout, Rendition(crop=True, crop_margin=("500px", "50%", "0", "7px")))
    assert picture.size == (7 + 30 + 15, 500 + 20)
    assert box_of(picture) == (7, 500, 37, 520)
    assert (pixels(picture)[500:, 7:37] == pixels(cutout)).all()


def test_a_margin_within_the_photograph_keeps_what_is_there():
    cutout = photograph((100, 100), (40, 40, 60, 60))
    ImageDraw.Draw(cutout.alpha).rectangle((0, 0, 29, 99), fill=20)
    picture = render(cutout, Rendition(crop=True, crop_margin=("0", "0", "0", "15px")))
    assert (pixels(picture) == pixels(cutout)[40:60, 25:60]).all()


# region of interest


@pytest.mark.parametrize(
    ("roi", "box"),
    [
        (("10px", "5px", "30px", "20px"), (10, 5, 30, 20)),
        (("50%", "0", "100%", "50%"), (25, 0, 50, 20)),
        (("10px", "5px", "9000px", "9000px"), (10, 5, 50, 40)),
        (("0", "0", "99.9%", "100%"), (0, 0, 50, 40)),
        (("60px", "50px", "70px", "60px"), None),
        (("40px", "0", "10%", "100%"), None),
    ],
)
def test_outside_the_region_everything_is_background(roi: tuple, box: tuple | None):
    cutout = photograph((50, 40), (0, 0, 50, 40))
    assert box_of(render(cutout, PLAIN)) == (0, 0, 50, 40)
    if box:
        assert box_of(render(cutout, Rendition(roi=roi))) == box
        width, height = box[2] - box[0], box[3] - box[1]
        assert render(cutout, Rendition(roi=roi, crop=True)).size == (width, height)
        assert clear_outside(cutout, roi).foreground == pytest.approx(width * height / (50 * 40))
    else:
        with pytest.raises(PermanentError) as caught:
            clear_outside(cutout, roi)
        assert caught.value.code is ErrorCode.NO_SUBJECT


def test_region_and_crop_are_of_the_photograph_as_displayed():
    """EXIF 6: stored lying, displayed upright. The subject is at the top left as displayed."""
    stored = Image.new("RGB", (60, 40), BLUE)
    source = decode(encoded(stored, "PNG", exif=exif(6)), LIMITS)
    assert source.size == (40, 60)
    cutout = compose(source, photograph((40, 60), (0, 0, 10, 20)).alpha)
    assert render(cutout, Rendition(crop=True)).size == (10, 20)
    assert box_of(render(cutout, Rendition(roi=("0", "0", "5px", "100%")))) == (0, 0, 5, 20)


def test_the_sources_own_alpha_bounds_the_subject():
    own = Image.new("L", (50, 40), 0)
    own.paste(255, (10, 10, 20, 15))
    cutout = compose(Photograph(Image.new("RGB", (50, 40)), own), Image.new("L", (50, 40), 255))
    assert render(cutout, Rendition(crop=True)).size == (10, 5)


# scale and position


@pytest.mark.parametrize("scale", [10, 50, 100])
def test_a_scaled_subject_fills_its_share_of_the_canvas_and_is_centred(scale: int):
    cutout = photograph((200, 100), (150, 60, 190, 80))  # 40 x 20: fits at 5 times its size
    picture = render(cutout, Rendition(scale=scale))
    assert picture.size == (200, 100)
    width, height = 2 * scale, scale
    left, top = (200 - width) // 2, (100 - height) // 2
    assert box_of(picture) == (left, top, left + width, top + height)


def test_the_nearer_edge_bounds_the_scale():
    tall = photograph((200, 100), (0, 0, 10, 50))
    assert box_of(render(tall, Rendition(scale=80))) == (92, 10, 108, 90)


@pytest.mark.parametrize(
    ("position", "corner"),
    [((0, 0), (0, 0)), ((100, 100), (160, 80)), ((50, 50), (80, 40)), ((25, 0), (40, 0))],
)
def test_a_position_moves_the_subject_whole_and_unchanged(position: tuple, corner: tuple):
    cutout = photograph((200, 100), (150, 60, 190, 80))
    picture = render(cutout, Rendition(position=position))
    left, top = corner
    assert box_of(picture) == (left, top, left + 40, top + 20)
    assert (
        pixels(picture)[top : top + 20, left : left + 40] == pixels(cutout)[60:80, 150:190]
    ).all()


def test_a_crop_is_the_canvas_that_the_subject_is_scaled_on():
    cutout = photograph((200, 100), (150, 60, 190, 80))
    picture = render(cutout, Rendition(crop=True, scale=50))
    assert picture.size == (40, 20)
    assert box_of(picture) == (10, 5, 30, 15)


# the limit


@pytest.mark.parametrize(
    ("size", "megapixels", "limited"),
    [
        ((200, 100), 1, (200, 100)), ((200, 100), 0.02, (200, 100)), ((200, 100), 0.005, (100, 50)),
        ((1, 1), 0.001, (1, 1)), ((1, 4800), 0.001, (1, 1000)), ((4800, 1), 0.001, (1000, 1)),
    ],
)  # fmt: skip
def test_the_output_is_within_the_size_limit(size: tuple, megapixels: float, limited: tuple):
    picture = render(photograph(size, (0, 0, *size)), Rendition(size=megapixels))
    assert picture.size == limited
    assert box_of(picture) == (0, 0, *limited)


def test_the_limit_is_on_the_canvas_with_its_margins():
    cutout = photograph((400, 400), (100, 100, 300, 300))
    margins = ("50%", "50%", "50%", "50%")
    picture = render(cutout, Rendition(crop=True, crop_margin=margins, size=0.01))
    assert picture.size == (100, 100)
    solid = pixels(picture)[..., 3] > 127
    assert Image.fromarray(solid.astype(np.uint8)).getbbox() == (25, 25, 75, 75)


@pytest.mark.parametrize("fields", [{"size": 0.01}, {"size": 0.001}, {"scale": 100}], ids=str)
def test_edges_keep_the_colour_of_the_subject_when_resized(fields: dict):
    """Unweighted resampling would mix the blue of the background, or black, into them."""
    cutout = photograph((301, 299), (50, 50, 251, 249))
    cutout.alpha.paste(100, (50, 50, 100, 249))  # partly translucent
    result = pixels(render(cutout, Rendition(**fields)))
    assert len(np.unique(result[..., 3])) >= 3
    off = np.abs(result[..., :3].astype(int) - RED) * (result[..., 3:] / 255)
    assert off.max() <= 2  # as much as it weighs; 8 bits of a premultiplied colour leave no less


def test_resizing_leaves_no_ring_around_the_subject():
    cutout = photograph((400, 400), (100, 100, 300, 300))
    alpha = pixels(render(cutout, Rendition(size=0.012)))[..., 3].astype(int)
    box = Image.fromarray((alpha > 127).astype(np.uint8)).getbbox()
    alpha[box[1] - 1 : box[3] + 1, box[0] - 1 : box[2] + 1] = 0
    assert alpha.max() <= NOISE_ALPHA


@pytest.mark.slow
@pytest.mark.parametrize("size", [0.9, 0.2, 0.02])
def test_resizing_strip_by_strip_is_resizing(size: float):
    """Against premultiplied floats, resampled whole; the colour counts by its alpha."""
    rng = np.random.default_rng(5)
    small = rng.integers(0, 256, (40, 50, 4), np.uint8)
    smooth = Image.fromarray(small).resize((1250, 1000), Image.Resampling.BICUBIC)
    cutout = compose(Photograph(smooth.convert("RGB"), None), smooth.getchannel("A"))
    picture = render(cutout, Rendition(size=size))
    exact = np.asarray(smooth, np.float32) / 255
    exact[..., :3] *= exact[..., 3:]
    planes = [
        np.asarray(Image.fromarray(plane).resize(picture.size, Image.Resampling.HAMMING))
        for plane in np.moveaxis(exact, 2, 0)
    ]
    result = pixels(picture).astype(np.float32) / 255
    result[..., :3] *= result[..., 3:]
    difference = np.abs(result - np.dstack(planes)) * 255
    assert difference.mean() < 1.5
    assert np.percentile(difference, 99) < 6


def test_pixels_that_are_not_resized_are_not_copied(monkeypatch):
    """Only the rows that are requested are joined."""
    requests = []
    part = Cutout.part

    def recording_part(self, box):
        requests.append(box)
        return part(self, box)

    monkeypatch.setattr(Cutout, "part", recording_part)
    picture = render(photograph((500, 400), (100, 100, 300, 300)), Rendition(crop=True))
    assert not requests
    picture.rows(10, 20)
    assert requests == [(100, 110, 300, 120)]


def test_profile_and_resolution_stay():
    source = Photograph(Image.new("RGB", (50, 50)), None, b"profile", (11811, 11811))
    cutout = Cutout(source, Image.new("L", (50, 50), 255))
    for fields in ({}, {"crop": True}, {"size": 0.001}, {"scale": 20}):
        shown = render(cutout, Rendition(**fields)).cutout.photograph
        assert (shown.icc_profile, shown.dots_per_metre) == (b"profile", (11811, 11811))


def test_an_aspect_ratio_extends_the_canvas_and_crops_nothing():
    cutout = photograph((100, 40), (10, 10, 30, 30))
    picture = render(cutout, Rendition(canvas="1:1"))
    assert picture.size == (100, 100)
    assert box_of(picture) == (10, 40, 30, 60)
    picture = render(cutout, Rendition(canvas="1:2"))
    assert picture.size == (100, 200)
    picture = render(cutout, Rendition(canvas="5:2"))
    assert (picture.size, box_of(picture)) == ((100, 40), (10, 10, 30, 30))
    picture = render(
        cutout, Rendition(canvas="1:1", crop=True, crop_margin=("0", "20px", "0", "0"))
    )
    assert (picture.size, box_of(picture)) == ((40, 40), (0, 10, 20, 30))


@pytest.mark.parametrize(
    ("canvas", "scale", "size", "box"),
    [
        ("1:1", 50, (200, 200), (50, 75, 150, 125)),
        ("1:1", 85, (118, 118), (9, 34, 109, 84)),
        ("1:1", 100, (100, 100), (0, 25, 100, 75)),
        ("2:1", 50, (200, 100), (50, 25, 150, 75)),
        ("1:2", 80, (125, 250), (12, 100, 112, 150)),
    ],
)
def test_a_share_of_an_aspect_ratio_makes_the_canvas_and_keeps_the_subjects_pixels(
    canvas: str, scale: float, size: tuple[int, int], box: tuple[int, int, int, int]
):
    cutout = photograph((300, 300), (7, 100, 107, 150))
    picture = render(cutout, Rendition(canvas=canvas, scale=scale))
    assert (picture.size, box_of(picture)) == (size, box)
    assert (pixels(picture)[..., :3][pixels(picture)[..., 3] > 0] == RED).all()
    assert picture.cutout is cutout  # nothing was resampled


def test_a_share_of_an_aspect_ratio_is_kept_when_the_canvas_shrinks():
    cutout = photograph((300, 300), (7, 100, 107, 150))
    picture = render(cutout, Rendition(canvas="1:1", scale=50, max_side=100))
    assert (picture.size, box_of(picture)) == ((100, 100), (25, 38, 75, 63))
    assert render(cutout, Rendition(canvas="1:1", scale=50, max_side=900)).size == (200, 200)


def test_a_canvas_in_pixels_holds_the_picture_in_its_middle_and_enlarges_nothing():
    cutout = photograph((100, 40), (10, 10, 30, 30))
    picture = render(cutout, Rendition(canvas="200x200"))
    assert (picture.size, box_of(picture)) == ((200, 200), (60, 90, 80, 110))
    picture = render(cutout, Rendition(canvas="50x50"))
    assert picture.size == (50, 50)
    assert box_of(picture) == pytest.approx((5, 20, 15, 30), abs=1)  # its edge is resampled
    picture = render(cutout, Rendition(canvas="60x50", crop=True))
    assert (picture.size, box_of(picture)) == ((60, 50), (20, 15, 40, 35))
    picture = render(cutout, Rendition(canvas="50x50", position=(0, 100)))
    assert (picture.size, box_of(picture)) == ((50, 50), (0, 40, 10, 50))


def test_a_share_of_a_canvas_in_pixels_enlarges_a_smaller_subject():
    cutout = photograph((100, 40), (10, 10, 30, 30))
    picture = render(cutout, Rendition(canvas="200x100", scale=80))
    assert (picture.size, box_of(picture)) == ((200, 100), (60, 10, 140, 90))
    picture = render(cutout, Rendition(canvas="40x20", scale=50))
    assert (picture.size, box_of(picture)) == ((40, 20), (15, 5, 25, 15))


def test_a_canvas_that_is_extended_stays_within_bounds():
    photograph_size, subject = (10_000, 10_000), (0, 0, 10_000, 10_000)
    layout = lay_out(photograph_size, subject, Rendition(canvas="1:10"))
    assert layout.canvas_size == (3162, 31_622)
    layout = lay_out(photograph_size, subject, Rendition(canvas="1:1", scale=10))
    assert layout.canvas_size == (10_000, 10_000)
