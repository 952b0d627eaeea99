"""From hostile bytes to pixels: the header is judged before any pixel is decoded."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms, ImageOps

from contract.errors import CutoutError, ErrorCode, PermanentError

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "GIF")

SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
)
FOREIGN = (
    (0, b"8BPS", "PSD"),
    (0, b"%PDF", "PDF"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\0\0\x01\0", "ICO"),
    (0, b"<svg", "SVG"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftyphev", "HEIC"),
    (4, b"ftypmif1", "HEIF"),
)


@dataclass(frozen=True, slots=True)
class Limits:
    pixels: int = 100_000_000
    """width x height"""


@dataclass(frozen=True, slots=True)
class Photograph:
    """A decoded photograph, the way up it is displayed."""

    rgb: Image.Image
    """mode RGB"""
    alpha: Image.Image | None
    """mode L, where the source brought its own transparency"""
    icc_profile: bytes | None
    """what the RGB values mean, where that is not sRGB"""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) as displayed."""
        return self.rgb.size


def decode(data: bytes, limits: Limits) -> Photograph:
    """Decode the first frame, turned as EXIF says.

    Raises PermanentError: `empty_file`, `not_an_image`, `unsupported_format`, `too_many_pixels`,
    `truncated_image`, `corrupt_image`; the first four before memory is spent on pixels.
    """
    sniff(data)
    with _judged(), _open(data) as image:
        width, height = image.size
        if width * height > limits.pixels:
            raise PermanentError(
                ErrorCode.TOO_MANY_PIXELS,
                f"{width} x {height} pixels are over the limit of {limits.pixels:,}.",
            )
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return _photograph(image, image.info.get("icc_profile"))


def sniff(data: bytes) -> str:
    """Return the format by its signature; raise PermanentError where it is none of ours."""
    if not data:
        raise PermanentError(ErrorCode.EMPTY_FILE, "The file is empty.")
    for signature, name in SIGNATURES:
        if data.startswith(signature):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    for offset, signature, name in FOREIGN:
        if data[offset : offset + len(signature)] == signature:
            raise PermanentError(ErrorCode.UNSUPPORTED_FORMAT, f"The file is {name}.")
    raise PermanentError(ErrorCode.NOT_AN_IMAGE, "The content is not an image.")


@contextmanager
def _judged() -> Iterator[None]:
    """Name what a decoder stumbled over. They raise nearly every built-in exception there is."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's hints at odd metadata are not for operators
            yield
    except (CutoutError, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise PermanentError(
            ErrorCode.TOO_MANY_PIXELS, "Its parts unpack to far more than the limit."
        ) from None
    except Exception as error:
        text = str(error).lower()
        if "truncated" in text or "unexpected end" in text or isinstance(error, EOFError):
            raise PermanentError(
                ErrorCode.TRUNCATED_IMAGE, "The file ends before the image does."
            ) from error
        raise PermanentError(
            ErrorCode.CORRUPT_IMAGE, f"The image cannot be decoded ({type(error).__name__})."
        ) from error


def _open(data: bytes) -> Image.Image:
    Image.MAX_IMAGE_PIXELS = None  # the limit is ours, with a code, before decoding
    return Image.open(io.BytesIO(data), formats=FORMATS)


def _photograph(image: Image.Image, profile: bytes | None) -> Photograph:
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))  # convert() would clip
    elif image.mode in {"I", "F"}:
        image = _stretched(image)
    elif image.mode in {"CMYK", "LAB"} and profile:
        image, profile = _to_srgb(image, profile), None
    elif image.mode not in {"RGB", "RGBA"}:
        profile = None  # a grey or indexed profile says nothing of the RGB we write
    return Photograph(image.convert("RGB"), alpha, profile)


def _stretched(image: Image.Image) -> Image.Image:
    """Bring 32-bit samples to 8 bits, by their own range: such files carry no white point."""
    samples = np.nan_to_num(np.asarray(image, dtype=np.float64))
    low, high = float(samples.min()), float(samples.max())
    return Image.fromarray(((samples - low) * (255 / max(high - low, 1e-9))).astype(np.uint8))


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    converted = ImageCms.profileToProfile(
        image,
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        outputMode="RGB",
    )
    if converted is None:  # only where asked to work in place
        raise ValueError("no colour transform")
    return converted
