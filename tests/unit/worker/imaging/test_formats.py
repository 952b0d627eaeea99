"""Files that are refused, through `decode`."""

import signal
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from support.images import FORMATS, LIMITS, SRGB, cmyk_profile, encoded, picture, refusal

from contract.errors import CutoutError, ErrorCode
from worker.imaging.decode import Limits, Photograph, decode
from worker.imaging.formats import SIGNATURES


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", ErrorCode.EMPTY_FILE),
        (b"hello", ErrorCode.NOT_AN_IMAGE),
        (b"\0" * 1000, ErrorCode.NOT_AN_IMAGE),
        (b"<!DOCTYPE html><html><img src='a.jpg'>", ErrorCode.NOT_AN_IMAGE),
        (b"RIFF\x10\0\0\0WAVEfmt ", ErrorCode.NOT_AN_IMAGE),
        (b"%PDF-1.7\n", ErrorCode.UNSUPPORTED_FORMAT),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", ErrorCode.UNSUPPORTED_FORMAT),
        (
            b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- made by --><svg/>",
            ErrorCode.UNSUPPORTED_FORMAT,
        ),
        (b"<?xml version='1.0'?><catalogue/>", ErrorCode.NOT_AN_IMAGE),
        (b"8BPS\0\1", ErrorCode.UNSUPPORTED_FORMAT),
        (b"\0\0\0\x0cjP  \r\n\x87\n", ErrorCode.UNSUPPORTED_FORMAT),
        (encoded(picture(), "JPEG2000"), ErrorCode.UNSUPPORTED_FORMAT),
        (encoded(picture(), "ICO"), ErrorCode.UNSUPPORTED_FORMAT),
        *(
            (b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0", ErrorCode.UNSUPPORTED_FORMAT)
            for brand in (b"crx ", b"mif1", b"msf1")
        ),
        (encoded(picture(), "TGA"), ErrorCode.NOT_AN_IMAGE),
        (encoded(picture(), "PPM"), ErrorCode.NOT_AN_IMAGE),
    ],
    ids=lambda value: value if isinstance(value, str) else ascii(value[:24])[2:-1],
)
def test_other_files_are_refused_by_signature(data: bytes, code: ErrorCode):
    assert refusal(data) is code


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("share", [0.5, 0.75, 0.95])
def test_a_file_cut_short_is_truncated(format_name: str, share: float):
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    data = encoded(Image.fromarray(noise), format_name)
    assert refusal(data[: int(len(data) * share)]) is ErrorCode.TRUNCATED_IMAGE


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_file_cut_at_any_byte_of_its_header_is_refused(format_name: str):
    data = encoded(picture(), format_name)
    expected = {ErrorCode.TRUNCATED_IMAGE, ErrorCode.CORRUPT_IMAGE}
    for length in range(1, 60):
        code = refusal(data[:length])
        assert code in expected or (length < 12 and code is ErrorCode.NOT_AN_IMAGE)


def test_a_compressed_tiff_whose_directory_is_cut_off_is_truncated():
    data = encoded(picture(), "TIFF", compression="tiff_lzw")  # libtiff writes it at the end
    assert refusal(data[: len(data) // 2]) is ErrorCode.TRUNCATED_IMAGE


@cache
def specimens() -> list[bytes]:
    small = picture().resize((12, 9))
    return [
        *(encoded(small, format_name) for format_name in FORMATS),
        *(
            encoded(small, "TIFF", compression=c)
            for c in ("tiff_lzw", "jpeg", "tiff_adobe_deflate")
        ),
        encoded(small.convert("1"), "TIFF", compression="group4"),
        encoded(small, "WEBP", lossless=True),
        encoded(small, "PNG", save_all=True, append_images=[small.rotate(180)], icc_profile=SRGB),
        encoded(picture("CMYK"), "JPEG", icc_profile=cmyk_profile(), progressive=True),
    ]


def _damages() -> Iterator[bytes]:
    """Thousands of broken files, the same ones every time: bytes flipped, cut out, doubled."""
    rng = np.random.default_rng(2026)
    for specimen in specimens():
        for number in range(200):
            data = bytearray(specimen)
            # headers and directories are where decoders are led astray
            reach = len(data) if number % 2 else min(len(data), 200)
            for at in rng.integers(2, reach, rng.integers(1, 8)):
                data[at] = rng.integers(256)
            if number % 5 == 0:
                at, length = int(rng.integers(2, len(data))), int(rng.integers(1, 40))
                data[at : at + length] = data[at : at + length] * int(rng.integers(0, 3))
            yield bytes(data)


def assert_photograph_or_code(data: bytes) -> ErrorCode | None:
    """Assert that `decode` returns a sound photograph or raises an error with a code."""
    try:
        photograph = decode(data, Limits(pixels=1_000_000))
    except CutoutError as error:
        return error.code
    except MemoryError:
        return None
    assert isinstance(photograph, Photograph)
    width, height = photograph.size
    assert 0 < width * height <= 1_000_000
    assert photograph.rgb.mode == "RGB"
    assert photograph.alpha is None or photograph.alpha.size == photograph.size
    return None


@pytest.mark.slow
def test_only_codes_leave_damaged_files():
    codes = [assert_photograph_or_code(data) for data in _damages()]
    assert {None, ErrorCode.CORRUPT_IMAGE, ErrorCode.TRUNCATED_IMAGE} <= {*codes}


@example(start=b"BM", rest=b"W drives a car, says the text")
@given(
    start=st.sampled_from(
        [
            *(signature for signature, _ in SIGNATURES),
            b"RIFF\x20\0\0\0WEBP",
            b"RIFF\x20\0\0\0WEBPVP8X",
            b"",
        ]
    ),
    rest=st.binary(max_size=200),
)
def test_only_codes_leave_invented_files(start: bytes, rest: bytes):
    assert_photograph_or_code(start + rest)


class _TimeLimitError(Exception):
    """As Celery raises it: out of a signal handler, in the middle of whatever is running."""


@pytest.mark.slow
def test_a_time_limit_is_not_mistaken_for_a_corrupt_image():
    data = encoded(Image.effect_noise((2000, 2000), 90), "PNG", compress_level=1)

    def ring(*_) -> None:
        raise _TimeLimitError

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.005)
        with pytest.raises(_TimeLimitError):
            decode(data, LIMITS)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_endless_segments_are_not_kept():
    data = encoded(picture(), "JPEG")
    empty = b"\xff\xec\0\2"
    assert decode(data[:2] + empty * 900 + data[2:], LIMITS).size == picture().size
    assert refusal(data[:2] + empty * 10_000 + data[2:]) is ErrorCode.CORRUPT_IMAGE
