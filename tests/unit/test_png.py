import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from worker.imaging import png
from worker.imaging.decode import Limits, decode


def cutout(height: int, width: int, seed: int = 1) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 4), np.uint8)
    pixels[..., 3][::2] //= 64  # much of it nearly or wholly transparent
    pixels[pixels[..., 3] == 0] = 0
    return pixels


def encode(pixels: np.ndarray, *of_the_photograph) -> bytes:
    height, width, _ = pixels.shape
    return png.encode(lambda top, bottom: pixels[top:bottom], (width, height), *of_the_photograph)


CUTOUTS = {
    "1x1": cutout(1, 1),
    "1xN": cutout(1, 3000),
    "Nx1": cutout(3000, 1),
    "odd": cutout(97, 211),
    "wide": cutout(2, 60_000),
    "wider than a strip": cutout(3, 100_000),
    "tall": cutout(60_000, 2),
    "transparent": np.zeros((40, 30, 4), np.uint8),
    "opaque": np.full((40, 30, 4), 255, np.uint8),
    # colour under zero alpha is the composer's business; the encoder keeps what it is given
    "hidden colour": np.dstack([cutout(20, 20)[..., :3], np.zeros((20, 20), np.uint8)]),
    "a view": cutout(40, 60)[::-2, 5:50:3],
}


@pytest.mark.parametrize("pixels", CUTOUTS.values(), ids=list(CUTOUTS))
def test_what_is_encoded_is_decoded_to_the_same_pixels(pixels: np.ndarray):
    data = encode(pixels)
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.mode, image.info.get("icc_profile")) == ("PNG", "RGBA", None)
        assert (np.asarray(image) == pixels).all()
    assert data[24:26] == bytes([8, 6])  # 8 bits a sample, RGB with alpha
    assert encode(pixels.copy()) == data


def test_the_profile_comes_back_to_the_byte():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encode(cutout(20, 30), profile)
    assert decode(data, Limits()).icc_profile == profile
    assert encode(cutout(20, 30), profile) == data
    assert encode(cutout(20, 30)) != data


def test_the_resolution_comes_back():
    with Image.open(io.BytesIO(encode(cutout(20, 30), None, (11_811, 2_835)))) as image:
        assert image.info["dpi"] == pytest.approx((300, 72), abs=0.02)
