"""JPEGs that are cut short or lack only their end marker, and kinds that are not decoded."""

import numpy as np
import pytest
from PIL import Image
from support.images import LIMITS, encoded, picture, refusal

from contract.errors import ErrorCode, PermanentError
from worker.imaging.decode import decode, displayed_size

SUBJECT = Image.fromarray(
    np.random.default_rng(3).integers(0, 256, (96, 128, 3), np.uint8)
).resize((256, 192))  # fmt: skip
KINDS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3},
    "optimised": {"optimize": True},
    "full chroma": {"subsampling": 0},
}


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("missing", [1, 2])
def test_a_jpeg_that_lacks_only_its_end_is_read(kind: str, mode: str, missing: int):
    data = encoded(SUBJECT.convert(mode), "JPEG", quality=90, **KINDS[kind])
    photograph = decode(data[:-missing], LIMITS)
    assert photograph.rgb.tobytes() == decode(data, LIMITS).rgb.tobytes()
    assert displayed_size(data[:-missing]) == photograph.size


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.97, 0.995])
def test_a_jpeg_that_lacks_samples_is_truncated(kind: str, share: float):
    data = encoded(SUBJECT, "JPEG", quality=90, **KINDS[kind])
    assert refusal(data[: int(len(data) * share)]) is ErrorCode.TRUNCATED_IMAGE


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.3, 0.6])
def test_a_jpeg_that_was_given_an_end_after_a_cut_is_truncated(kind: str, mode: str, share: float):
    data = encoded(SUBJECT.convert(mode), "JPEG", quality=90, **KINDS[kind])
    assert refusal(data[: int(len(data) * share)] + b"\xff\xd9") is ErrorCode.TRUNCATED_IMAGE


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_jpeg_may_end_in_grey(kind: str, mode: str):
    grey = Image.new("RGB", (256, 256), (128, 128, 128))
    grey.paste(SUBJECT)
    data = encoded(grey.convert(mode), "JPEG", quality=90, **KINDS[kind])
    assert decode(data, LIMITS).size == grey.size


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_jpeg_whose_rest_is_zeros_is_truncated(share: float):
    """As after a failed copy. With full quality, zeros are enough samples for the rest."""
    data = encoded(SUBJECT, "JPEG", quality=100, subsampling=0)
    kept = int(len(data) * share)
    assert refusal(data[:kept] + bytes(len(data) - kept)) is ErrorCode.TRUNCATED_IMAGE


@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize("padding", [0, 500])
def test_a_whole_jpeg_may_end_in_zeros(padding: int, optimize: bool):
    flat = Image.new("RGB", (900, 900), "white")
    flat.paste(SUBJECT)
    data = encoded(flat, "JPEG", quality=90, optimize=optimize)
    photograph = decode(data[:-2] + bytes(padding), LIMITS)
    assert photograph.rgb.tobytes() == decode(data, LIMITS).rgb.tobytes()


def test_a_progressive_jpeg_cut_between_its_scans_is_truncated():
    data = encoded(SUBJECT, "JPEG", progressive=True)
    scans = [at for at in range(len(data) - 1) if data[at : at + 2] == b"\xff\xda"]
    assert len(scans) > 4
    for at in scans[1:]:
        assert refusal(data[:at]) is ErrorCode.TRUNCATED_IMAGE


def test_a_preview_has_an_end_of_its_own():
    preview = encoded(picture(), "JPEG")
    data = encoded(SUBJECT, "JPEG", comment=preview)
    assert decode(data[:-2], LIMITS).rgb.tobytes() == decode(data, LIMITS).rgb.tobytes()
    assert refusal(data[: len(data) // 2]) is ErrorCode.TRUNCATED_IMAGE


def with_frame(marker: int, precision: int, components: int) -> bytes:
    data = bytearray(encoded(picture(), "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 1], data[at + 4], data[at + 9] = marker, precision, components
    return bytes(data)


@pytest.mark.parametrize(
    ("marker", "precision", "components", "named"),
    [
        (0xC0, 12, 3, "3 components of 12 bits"),
        (0xC3, 8, 3, "lossless"),
        (0xC5, 8, 3, "hierarchical"),
        (0xF7, 8, 3, "JPEG-LS"),
        (0xC0, 8, 2, "2 components"),
    ],
)
def test_other_kinds_are_refused_by_name(marker, precision, components, named):
    with pytest.raises(PermanentError, match=named) as caught:
        decode(with_frame(marker, precision, components), LIMITS)
    assert caught.value.code is ErrorCode.UNSUPPORTED_FORMAT
