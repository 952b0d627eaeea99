"""From hostile bytes to pixels: the header is judged before any pixel is decoded."""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageCms

from contract.errors import ErrorCode, PermanentError

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
    (4, b"ftypavi", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftyphev", "HEIC"),
    (4, b"ftypmif1", "HEIF"),
    (4, b"ftypmsf1", "HEIF"),
)

DECODERS_RAISE = (
    ArithmeticError, AssertionError, AttributeError, BufferError, EOFError, LookupError, NameError,
    OSError, RuntimeError, SyntaxError, TypeError, ValueError,
    struct.error, zlib.error, ImageCms.PyCMSError,
)  # fmt: skip
"""Nearly every built-in exception there is, but not what others raise into them: a time limit is
an exception too, and it says nothing of the image."""

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings each EXIF orientation upright."""
SIDEWAYS = {TURNS[5], TURNS[6], TURNS[7], TURNS[8]}

METRES_PER_INCH = 0.0254
MOST_DOTS = 2**31
"""A PNG holds dots per metre as a number of 31 bits."""


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
    icc_profile: bytes | None = None
    """what the RGB values mean, where that is not sRGB"""
    dots_per_metre: tuple[int, int] | None = None
    """across and down, as displayed, where the file says"""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) as displayed."""
        return self.rgb.size


def decode(data: bytes, limits: Limits) -> Photograph:
    """Decode the first frame, turned as EXIF says.

    Raises PermanentError: `empty_file`, `not_an_image`, `unsupported_format`, `too_many_pixels`,
    `truncated_image`, `corrupt_image`; the first four before memory is spent on pixels.
    """
    name = sniff(data)
    with _judged(data, name), _open(data, name) as image:
        width, height = image.size
        if width * height > limits.pixels:
            raise PermanentError(
                ErrorCode.TOO_MANY_PIXELS,
                f"{width} x {height} pixels are over the limit of {limits.pixels:,}.",
            )
        image.load()
        turn = _turn(image)
        upright = image.transpose(turn) if turn is not None else image
        return _photograph(
            upright, image.info.get("icc_profile"), _dots_per_metre(image, turn in SIDEWAYS)
        )


def displayed_size(data: bytes) -> tuple[int, int]:
    """Return (width, height) as EXIF turns it, from the header alone. Raises as `decode` does."""
    name = sniff(data)
    with _judged(data, name), _open(data, name) as image:
        width, height = image.size
        return (height, width) if _turn(image) in SIDEWAYS else (width, height)


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
    if data[:50].lstrip(b"\xef\xbb\xbf\r\n\t ").startswith(b"<?xml") and b"<svg" in data[:4096]:
        raise PermanentError(ErrorCode.UNSUPPORTED_FORMAT, "The file is SVG.")
    raise PermanentError(ErrorCode.NOT_AN_IMAGE, "The content is not an image.")


@contextmanager
def _judged(data: bytes, name: str) -> Iterator[None]:
    """Name what a decoder stumbled over."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's hints at odd metadata are not for operators
            yield
    except DECODERS_RAISE as error:
        text = str(error).lower()
        if (
            "truncated" in text
            or "unexpected end" in text
            or isinstance(error, EOFError)
            or _cut_short(data, name)
        ):
            raise PermanentError(
                ErrorCode.TRUNCATED_IMAGE, "The file ends before the image does."
            ) from error
        raise PermanentError(
            ErrorCode.CORRUPT_IMAGE, f"The image cannot be decoded ({type(error).__name__})."
        ) from error


def _cut_short(data: bytes, name: str) -> bool:
    """Tell truncation where the format says how long it is, as its decoder does not."""
    if name == "WEBP":
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    if name == "TIFF" and data[2:4] in {b"*\0", b"\0*"}:  # its directory often lies at the end
        return int.from_bytes(data[4:8], "little" if data[:1] == b"I" else "big") >= len(data)
    return False


def _open(data: bytes, name: str) -> Image.Image:
    Image.MAX_IMAGE_PIXELS = None  # the limit is ours, with a code, before decoding
    return Image.open(io.BytesIO(data), formats=[name])


def _turn(image: Image.Image) -> Image.Transpose | None:
    """Return what brings the image upright. EXIF that cannot be read is common; it says nothing."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except DECODERS_RAISE:
        return None
    return TURNS.get(orientation) if isinstance(orientation, int) else None


def _dots_per_metre(image: Image.Image, sideways: bool) -> tuple[int, int] | None:
    """Return the resolution, or None where the file gives none or nonsense."""
    try:
        across, down = (round(float(dots) / METRES_PER_INCH) for dots in image.info["dpi"])
    except DECODERS_RAISE:
        return None
    if not (0 < across < MOST_DOTS and 0 < down < MOST_DOTS):
        return None
    return (down, across) if sideways else (across, down)


def _photograph(
    image: Image.Image, profile: bytes | None, dots_per_metre: tuple[int, int] | None
) -> Photograph:
    if image.mode.startswith("I;16"):
        image = _upper_bytes(image)
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
    if image.mode in {"I", "F"}:
        image = _stretched(image)
    elif image.mode in {"CMYK", "LAB"} and profile:
        image, profile = _to_srgb(image, profile), None
    if profile and (profile[16:20], profile[36:40]) != (b"RGB ", b"acsp"):
        profile = None  # a grey or broken profile says nothing of the RGB we write
    rgb = image if image.mode == "RGB" else image.convert("RGB")  # convert() alone would copy
    return Photograph(rgb, alpha, profile, dots_per_metre)


def _upper_bytes(image: Image.Image) -> Image.Image:
    """Bring 16-bit grey to 8 bits, with its transparent value; convert() would clip both."""
    samples = np.asarray(image)
    grey = Image.fromarray((samples >> 8).astype(np.uint8))
    if (transparent := image.info.get("transparency")) is not None:
        grey.putalpha(Image.fromarray(np.where(samples == transparent, 0, 255).astype(np.uint8)))
    return grey


def _stretched(image: Image.Image) -> Image.Image:
    """Bring 32-bit samples to 8 bits, by their own range: such files carry no white point."""
    samples = np.asarray(image, dtype=np.float64)
    finite = samples[np.isfinite(samples)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    samples = np.nan_to_num(samples, nan=low, posinf=high, neginf=low)
    return Image.fromarray(((samples - low) * (255 / max(high - low, 1e-9))).astype(np.uint8))


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert by the profile, or as if there were none where it is broken or of other colours."""
    try:
        converted = ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
    except (OSError, ImageCms.PyCMSError):
        converted = None
    return converted or image.convert("RGB")
