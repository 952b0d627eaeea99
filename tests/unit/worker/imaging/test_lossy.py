"""JPEG, WebP and AVIF: their quality, their size in bytes, and what they do to the background."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from contract.errors import ErrorCode, PermanentError
from contract.rendition import Rendition
from worker.imaging import lossy
from worker.imaging.background import FAINT_ALPHA
from worker.imaging.cutout import Cutout
from worker.imaging.decode import Photograph
from worker.imaging.encode import encode
from worker.imaging.render import render

WHITE = (255, 255, 255)


def disc(side: int = 200) -> Image.Image:
    """A matte with a soft edge."""
    matte = Image.new("L", (side * 3, side * 3))
    ImageDraw.Draw(matte).ellipse((side * 0.6, side * 0.6, side * 2.4, side * 2.4), fill=255)
    return matte.reduce(3)


def noise(side: int = 200) -> Cutout:
    colours = np.random.default_rng(5).integers(0, 256, (side, side, 3), np.uint8)
    return Cutout(Photograph(Image.fromarray(colours), None), disc(side))


def data_of(cutout: Cutout, **fields) -> bytes:
    rendition = Rendition(**fields)
    return encode(render(cutout, rendition), rendition)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("form", ["jpg", "webp", "avif"])
def test_a_lower_quality_makes_a_smaller_file(form: str):
    low, default, high = (
        len(data_of(noise(), format=form, quality=quality)) for quality in (40, None, 96)
    )
    assert low < default < high


@pytest.mark.parametrize("largest_progressive", [0, 200 * 200])
@pytest.mark.parametrize("quality", [None, 94, 100])
def test_a_jpeg_of_more_bytes_than_pixels_is_written(
    quality: int | None, largest_progressive: int, monkeypatch: pytest.MonkeyPatch
):
    """Grain over the whole picture: Pillow's buffer for such a JPEG was too small."""
    monkeypatch.setattr(lossy, "MAX_PROGRESSIVE_PIXELS", largest_progressive)
    grain = Cutout(noise().photograph, Image.new("L", (200, 200), 255))
    data = data_of(grain, format="jpg", quality=quality)
    assert len(data) > 200 * 200
    written = np.asarray(opened(data), np.int16)
    assert np.abs(written - np.asarray(grain.photograph.rgb)).mean() < 16


@pytest.mark.parametrize(("form", "tried"), [("jpg", 90), ("webp", 90), ("avif", 75)])
def test_the_highest_quality_that_fits_is_found(form: str, tried: int):
    sizes = {q: len(data_of(noise(96), format=form, quality=q)) for q in (50, 60, tried)}
    limit = sizes[60]
    data = data_of(noise(96), format=form, max_bytes=limit)
    assert sizes[50] < len(data) <= limit
    assert data_of(noise(96), format=form, max_bytes=sizes[tried]) == data_of(
        noise(96), format=form
    )


def test_the_search_encodes_at_most_eight_times(monkeypatch: pytest.MonkeyPatch):
    qualities = []

    def write(image: Image.Image, quality: int, photograph: Photograph) -> bytes:
        qualities.append(quality)
        return bytes(quality)

    form = lossy.LossyFormat("X", "RGB", 100, 1000, 1000, write)
    image, photograph = Image.new("RGB", (1, 1)), Photograph(Image.new("RGB", (1, 1)), None)
    for limit in range(50, 101):
        qualities.clear()
        assert len(lossy.write_lossy(image, form, photograph, max_bytes=limit)) == limit
        assert len(qualities) <= 8
    qualities.clear()
    assert len(lossy.write_lossy(image, form, photograph, quality=30, max_bytes=30)) == 30
    assert qualities == [30]


@pytest.mark.parametrize("form", ["jpg", "webp", "avif"])
def test_a_file_that_never_fits_fails_with_a_code(form: str):
    with pytest.raises(PermanentError) as caught:
        data_of(noise(), format=form, max_bytes=1000)
    assert caught.value.code is ErrorCode.OUTPUT_TOO_LARGE
    assert "1,000" in caught.value.message


def test_a_jpeg_is_progressive_unless_it_is_so_large_that_time_or_memory_matters(
    monkeypatch: pytest.MonkeyPatch,
):
    progressive = data_of(noise(96), format="jpg")
    assert opened(progressive).info.get("progressive")
    monkeypatch.setattr(lossy, "MAX_PROGRESSIVE_PIXELS", 96 * 96 - 1)
    optimised = data_of(noise(96), format="jpg")
    assert not opened(optimised).info.get("progressive")
    monkeypatch.setattr(lossy, "MAX_OPTIMISED_PIXELS", 96 * 96 - 1)
    baseline = data_of(noise(96), format="jpg")
    assert len(optimised) < len(baseline)
    for data in (optimised, baseline):
        assert opened(data).tobytes() == opened(progressive).tobytes()


def test_an_avif_is_limited_as_its_encoder_needs_much_memory():
    lossy.check_size((6000, 6000), lossy.FORMATS["avif"])
    with pytest.raises(PermanentError, match="max_side") as caught:
        lossy.check_size((6000, 6001), lossy.FORMATS["avif"])
    assert caught.value.code is ErrorCode.TOO_MANY_PIXELS


def test_an_avif_has_its_alpha_and_shows_nothing_of_the_background():
    cutout = noise()
    image = opened(data_of(cutout, format="avif"))
    assert (image.format, image.mode, image.size) == ("AVIF", "RGBA", (200, 200))
    pixels, alpha = np.asarray(image), np.asarray(cutout.alpha)
    assert np.abs(pixels[..., 3].astype(int) - alpha).mean() < 1
    inside = np.asarray(cutout.alpha.filter(ImageFilter.MinFilter(9))) == 255
    assert (pixels[..., 3][inside] > 250).all()
    outside = np.asarray(cutout.alpha.filter(ImageFilter.MaxFilter(17))) == 0
    assert (pixels[..., 3][outside] == 0).all()
    opaque = opened(data_of(cutout, format="avif", background="fff"))
    assert opaque.convert("RGB").getpixel((0, 0)) == WHITE


@pytest.mark.parametrize("quality", [50, 60, 75, 90, 100])
def test_white_is_white_to_the_last_bit_eight_pixels_from_the_subject(quality: int):
    """Noise of all colours on white: the hardest case for the blocks at the edge."""
    cutout = noise()
    image = np.asarray(opened(data_of(cutout, format="jpg", quality=quality)))
    beyond = np.asarray(cutout.alpha.filter(ImageFilter.MaxFilter(15))) == 0
    assert beyond.sum() > 10_000
    assert (image[beyond] == 255).all()


def test_haze_in_the_matte_leaves_an_opaque_background_as_it_is():
    """Before, alpha 1 of a black background made white 254."""
    black = Photograph(Image.new("RGB", (64, 64)), None)
    haze = Cutout(black, Image.new("L", (64, 64), FAINT_ALPHA))
    for fields in (
        {"format": "jpg"},
        {"background": "fff"},
        {"format": "webp", "background": "fff"},
    ):
        assert np.asarray(opened(data_of(haze, **fields)).convert("RGB")).min() == 255
    above = Cutout(black, Image.new("L", (64, 64), FAINT_ALPHA + 1))
    assert np.asarray(opened(data_of(above, background="fff")))[..., 0].max() == 255 - 9
    assert (np.asarray(opened(data_of(haze)))[..., 3] == FAINT_ALPHA).all()


def test_a_coloured_edge_keeps_its_colour_on_white():
    """Chroma subsampling would double the error at the edge."""
    red = Cutout(Photograph(Image.new("RGB", (200, 200), (200, 20, 30)), None), disc())
    plain = np.asarray(opened(data_of(red, background="fff")).convert("RGB"), int)
    edge = np.asarray(red.alpha.filter(ImageFilter.MaxFilter(5))) > 0
    edge &= np.asarray(red.alpha.filter(ImageFilter.MinFilter(5))) < 255
    errors = {}
    for subsampling in ("4:2:0", "4:4:4"):
        file = io.BytesIO()
        Image.fromarray(plain.astype(np.uint8)).save(
            file, "JPEG", quality=90, subsampling=subsampling
        )
        errors[subsampling] = np.abs(np.asarray(Image.open(file), int) - plain)[edge].mean()
    written = np.asarray(opened(data_of(red, format="jpg")), int)
    assert np.abs(written - plain)[edge].mean() == pytest.approx(errors["4:4:4"])
    assert errors["4:2:0"] > 1.7 * errors["4:4:4"]
