import io
import zipfile

import numpy as np
import pytest
from PIL import Image
from support.images import SRGB

from contract.errors import ErrorCode, PermanentError
from contract.rendition import PLAIN, Rendition
from worker.imaging.background import covering, over_background, over_opaque, without_faint
from worker.imaging.cutout import Cutout, compose
from worker.imaging.decode import Photograph
from worker.imaging.encode import encode
from worker.imaging.lossy import FORMATS
from worker.imaging.png import encoder
from worker.imaging.render import render

MAX_JPEG_SIDE, MAX_WEBP_SIDE = FORMATS["jpg"].max_side, FORMATS["webp"].max_side


def cutout(size: tuple[int, int] = (50, 40), profile: bytes | None = None) -> Cutout:
    """A smooth picture whose matte goes from nothing at the left to all at the right."""
    width, height = size
    rng = np.random.default_rng(3)
    small = Image.fromarray(rng.integers(0, 256, (4, 5, 3), np.uint8))
    matte = np.linspace(0, 255, width).round().astype(np.uint8)[np.newaxis].repeat(height, 0)
    source = Photograph(small.resize(size), None, profile, (11_811, 2_835))
    return compose(source, Image.fromarray(matte))


def written(of: Cutout, **fields) -> Image.Image:
    rendition = Rendition(**fields)
    data = encode(render(of, rendition), rendition)
    assert encode(render(of, rendition), rendition) == data
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def test_the_plain_rendition_is_the_encoders_png():
    of = cutout(profile=SRGB)
    data = encode(render(of, PLAIN), PLAIN)
    assert data == encoder.encode(of.rows, of.size, SRGB, (11_811, 2_835))


def test_a_png_on_a_colour_is_opaque_and_on_a_translucent_one_is_not():
    of = cutout()
    rows = of.rows(0, 40)
    opaque = np.asarray(written(of, background="81d4fa"))
    assert (opaque == over_background(without_faint(rows), (129, 212, 250, 255))).all()
    assert (opaque[..., 3] == 255).all()
    translucent = np.asarray(written(of, background="81d4fa77"))
    assert (translucent == over_background(rows, (129, 212, 250, 119))).all()
    assert translucent[..., 3].min() == 119


def test_a_canvas_wider_than_the_photograph_is_filled_with_the_background():
    margins = ("10px", "10px", "10px", "10px")
    of = Cutout(Photograph(Image.new("RGB", (20, 20)), None), Image.new("L", (20, 20), 255))
    image = written(of, crop=True, crop_margin=margins, background="0f0")
    assert image.size == (40, 40)
    assert image.getpixel((0, 0)) == (0, 255, 0, 255)
    assert image.getpixel((20, 20)) == (0, 0, 0, 255)


@pytest.mark.parametrize(("background", "colour"), [(None, "ffffff"), ("81d4fa", "81d4fa")])
def test_a_jpg_lies_on_its_background_white_by_default(background: str | None, colour: str):
    of = cutout(profile=SRGB)
    image = written(of, format="jpg", background=background)
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (50, 40))
    assert image.info["icc_profile"] == SRGB
    assert image.info["dpi"] == (300, 72)
    assert {layer[1:3] for layer in image.layer} == {(1, 1)}  # 4:4:4
    expected = over_background(of.rows(0, 40), (*bytes.fromhex(colour), 255))[..., :3]
    assert np.abs(np.asarray(image, int) - expected).mean() < 2


@pytest.mark.slow
def test_a_jpg_of_many_strips_is_one_picture():
    image = written(cutout((1000, 900)), format="jpg")
    expected = over_background(cutout((1000, 900)).rows(0, 900), (255, 255, 255, 255))[..., :3]
    assert np.abs(np.asarray(image, int) - expected).max() < 12


def test_a_jpg_too_long_for_its_format_fails_with_a_code():
    size = (MAX_JPEG_SIDE + 1, 1)
    of = Cutout(Photograph(Image.new("RGB", size), None), Image.new("L", size, 255))
    rendition = Rendition(format="jpg")
    with pytest.raises(PermanentError) as caught:
        encode(render(of, rendition), rendition)
    assert caught.value.code is ErrorCode.TOO_MANY_PIXELS
    assert written(of).size == size
    size = (MAX_JPEG_SIDE, 1)
    of = Cutout(Photograph(Image.new("RGB", size), None), Image.new("L", size, 255))
    assert written(of, format="jpg").size == size


def test_a_resolution_too_high_for_jpeg_is_omitted():
    of = cutout()
    source = Photograph(of.photograph.rgb, None, None, (2**31 - 1, 2**31 - 1))
    assert written(Cutout(source, of.alpha), format="jpg").info.get("dpi", (1, 1)) == (1, 1)


def test_the_matte_alone_is_a_grey_png():
    of = cutout(profile=SRGB)
    image = written(of, channels="alpha")
    assert (image.format, image.mode) == ("PNG", "L")
    assert image.info.get("icc_profile") is None
    assert image.info["dpi"] == pytest.approx((300, 72), abs=0.02)
    assert (np.asarray(image) == of.rows(0, 40)[..., 3]).all()


def test_the_matte_is_cropped_with_its_picture():
    fields = {"crop": True, "crop_margin": ("3px", "0", "0", "3px"), "size": 0.001}
    of = cutout()
    matte, picture = written(of, channels="alpha", **fields), written(of, **fields)
    assert (np.asarray(matte) == np.asarray(picture)[..., 3]).all()


def test_a_webp_has_the_colours_and_the_exact_alpha():
    of = cutout((500, 400), SRGB)
    image = written(of, format="webp")
    assert (image.format, image.mode, image.size) == ("WEBP", "RGBA", (500, 400))
    assert image.info["icc_profile"] == SRGB
    expected, pixels = of.rows(0, 400), np.asarray(image)
    assert (pixels[..., 3] == expected[..., 3]).all()
    solid = expected[..., 3] > 128
    assert np.abs(pixels[solid].astype(int) - expected[solid]).mean() < 2
    opaque = np.asarray(written(of, format="webp", background="0f0").convert("RGB"))
    assert np.abs(opaque[:, :20].astype(int) - (0, 255, 0)).mean() < 12


def test_a_webp_too_long_for_its_format_fails_with_a_code():
    size = (MAX_WEBP_SIDE + 1, 1)
    of = Cutout(Photograph(Image.new("RGB", size), None), Image.new("L", size, 255))
    rendition = Rendition(format="webp")
    with pytest.raises(PermanentError) as caught:
        encode(render(of, rendition), rendition)
    assert caught.value.code is ErrorCode.TOO_MANY_PIXELS
    size = (MAX_WEBP_SIDE, 1)
    of = Cutout(Photograph(Image.new("RGB", size), None), Image.new("L", size, 255))
    assert written(of, format="webp").size == size


def unzipped(of: Cutout, **fields) -> tuple[Image.Image, Image.Image]:
    """Return color.jpg and alpha.png."""
    rendition = Rendition(format="zip", **fields)
    data = encode(render(of, rendition), rendition)
    assert encode(render(of, rendition), rendition) == data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["color.jpg", "alpha.png"]
        colours, matte = (Image.open(io.BytesIO(archive.read(name))) for name in archive.namelist())
    assert (colours.format, colours.mode, matte.format, matte.mode) == ("JPEG", "RGB", "PNG", "L")
    return colours, matte


@pytest.mark.parametrize("size", [(50, 40), (1000, 333)])
def test_a_zip_holds_what_makes_the_picture(size: tuple[int, int]):
    of = cutout(size)
    colours, matte = unzipped(of)
    expected = of.rows(0, size[1])
    assert (np.asarray(matte) == expected[..., 3]).all()
    shown = expected[..., 3] > 0
    off = np.abs(np.asarray(colours, int) - expected[..., :3])[shown]
    assert off.mean() < 2
    cropped = unzipped(of, crop=True, size=0.001)
    assert cropped[0].size == cropped[1].size != size


def test_the_background_leaves_no_mark_on_a_zips_subject():
    """A white subject that begins in the middle of a JPEG's blocks, its surroundings black."""
    matte = Image.new("L", (64, 64), 0)
    matte.paste(255, (13, 13, 51, 51))
    of = Cutout(Photograph(Image.new("RGB", (64, 64), "white"), None), matte)
    colours, _ = unzipped(of)
    assert np.asarray(colours)[13:51, 13:51].min() >= 250
    assert np.asarray(colours)[:8, :8].max() <= 5  # the background is not revealed


def test_an_image_fills_the_canvas_behind_the_subject():
    of = cutout((50, 40))
    backdrop = Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 90, 3), np.uint8))
    rendition = Rendition(format="png")
    data = encode(render(of, rendition), rendition, backdrop)
    pixels = np.asarray(Image.open(io.BytesIO(data)))
    middle = np.asarray(backdrop)[:, 20:70]
    assert (pixels == over_opaque(of.rows(0, 40), middle)).all()
    assert (pixels[:, 0, :3] == middle[:, 0]).all()
    assert (pixels[:, -1, :3] == of.rows(0, 40)[:, -1, :3]).all()
    for format_ in ("jpg", "webp"):
        rendition = Rendition(format=format_)
        data = encode(render(of, rendition), rendition, backdrop.resize((25, 20)))
        assert Image.open(io.BytesIO(data)).size == (50, 40)


@pytest.mark.parametrize(
    ("own", "size"),
    [((10, 10), (300, 7)), ((1, 1), (5, 5)), ((400, 3), (3, 400)), ((9, 9), (9, 9))],
)
def test_an_image_of_any_proportions_covers_any_canvas(own: tuple, size: tuple):
    assert covering(Image.new("RGB", own, "red"), size).getcolors() == [
        (size[0] * size[1], (255, 0, 0))
    ]


@pytest.mark.parametrize(
    "fields",
    [{}, {"format": "webp"}, {"format": "jpg"}, {"channels": "alpha"}, {"crop": True},
     {"scale": 10}, {"size": 1},
     {"background": "fff8"}, {"crop": True, "crop_margin": ("50%", "500px", "0", "0")}],
    ids=str,
)  # fmt: skip
def test_a_single_pixel_is_a_photograph(fields: dict):
    of = Cutout(Photograph(Image.new("RGB", (1, 1), "red"), None), Image.new("L", (1, 1), 255))
    assert written(of, **fields).size in {(1, 1), (501, 1), (501, 2)}
