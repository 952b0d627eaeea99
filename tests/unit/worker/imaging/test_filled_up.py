"""Files whose rest is zeros, as after a failed copy. JPEGs are in test_truncated_jpeg.py."""

import numpy as np
import pytest
from PIL import Image
from support.images import LIMITS, encoded, refusal

from contract.errors import ErrorCode
from worker.imaging.decode import decode

NOISE = Image.fromarray(
    np.random.default_rng(3).integers(0, 256, (64, 80, 3), np.uint8)
).resize((160, 128))  # fmt: skip
KINDS = {
    "WebP": ("WEBP", {"quality": 90}),
    "lossless WebP": ("WEBP", {"lossless": True}),
    "AVIF": ("AVIF", {"quality": 90, "speed": 10}),
}


@pytest.mark.parametrize("share", [0.4, 0.6, 0.8])
@pytest.mark.parametrize(("format_name", "options"), KINDS.values(), ids=KINDS)
def test_a_file_whose_rest_is_zeros_is_truncated(format_name: str, options: dict, share: float):
    data = encoded(NOISE, format_name, **options)
    kept = int(len(data) * share)
    filled_up = data[:kept] + bytes(len(data) - kept)
    assert refusal(filled_up) in {ErrorCode.TRUNCATED_IMAGE, ErrorCode.CORRUPT_IMAGE}


@pytest.mark.parametrize(("format_name", "options"), KINDS.values(), ids=KINDS)
def test_zeros_behind_a_whole_file_are_no_samples(format_name: str, options: dict):
    data = encoded(NOISE, format_name, **options)
    padded = decode(data + bytes(2000), LIMITS)
    assert padded.rgb.tobytes() == decode(data, LIMITS).rgb.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize(("format_name", "options"), KINDS.values(), ids=KINDS)
def test_a_flat_area_may_be_coded_by_zeros(format_name: str, options: dict):
    flat = Image.new("RGB", (3000, 3000), "white")
    flat.paste(NOISE)
    data = encoded(flat, format_name, **options)
    if format_name == "WEBP" and "quality" in options:
        assert data.endswith(bytes(512))
    for whole in (data, data + bytes(2000)):
        assert decode(whole, LIMITS).size == flat.size
