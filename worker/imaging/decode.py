"""From untrusted bytes to pixels. The header is checked before any pixel is decoded."""

from dataclasses import dataclass

from PIL import Image

from contract.errors import ErrorCode, PermanentError
from worker.imaging.colour import OPAQUE, WHITE, to_rgb, to_srgb
from worker.imaging.filled_up import is_filled_up
from worker.imaging.formats import TRUNCATED, decoder_errors_as_codes, detect_format
from worker.imaging.source import open_source
from worker.imaging.truncated_jpeg import may_be_filled_up, with_end


@dataclass(frozen=True, slots=True)
class Limits:
    """What a photograph may claim in its header."""

    pixels: int = 100_000_000
    """maximum of width x height"""
    side: int = 65_535
    """maximum of width and of height: what is made strip by strip needs some rows in memory"""


@dataclass(frozen=True, slots=True)
class Photograph:
    """A decoded photograph, upright as displayed."""

    rgb: Image.Image
    """mode RGB: uint8, 0..255"""
    alpha: Image.Image | None
    """mode L, 0..255, of the same size; None if the source has no transparency"""
    icc_profile: bytes | None = None
    """ICC profile of `rgb`; None for sRGB"""
    dots_per_metre: tuple[int, int] | None = None
    """(horizontal, vertical) as displayed; None if the file states no resolution"""

    def shown(self) -> Image.Image:
        """Return what the network is shown: RGB in sRGB, white where the source is transparent.

        That is `rgb` itself unless the source has transparency or keeps a profile.
        """
        image = self.rgb
        if self.icc_profile:
            image = to_srgb(image.copy(), self.icc_profile)
        return self._on_white(image)

    def without_hidden(self) -> Image.Image:
        """Return `rgb`, white where the source is transparent."""
        return self._on_white(self.rgb)

    def _on_white(self, image: Image.Image) -> Image.Image:
        if self.alpha is None:
            return image
        return Image.composite(image, Image.new("RGB", image.size, WHITE), self.alpha)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels, as displayed."""
        return self.rgb.size


def decode(data: bytes, limits: Limits, *, keep_profile: bool = False) -> Photograph:
    """Decode the photograph, upright as EXIF says, and in sRGB unless its profile is to be kept.

    Of several frames or pages, that is the first which is no thumbnail. Raises PermanentError:
    `empty_file`, `not_an_image`, `unsupported_format`, `too_many_pixels`, `truncated_image`,
    `corrupt_image`, `nothing_visible`; the first four before memory is spent on pixels.
    """
    format_name = detect_format(data)
    try:
        photograph = _decode(data, format_name, limits, keep_profile=keep_profile)
    except PermanentError as error:
        if format_name != "JPEG" or error.code is not ErrorCode.TRUNCATED_IMAGE:
            raise
    else:
        if format_name != "JPEG":
            return _if_whole(photograph, data, format_name)
        if not may_be_filled_up(data):
            return photograph
        del photograph
    # here the error with its traceback is gone, and the half-decoded image with them
    with decoder_errors_as_codes(data, format_name):
        whole = with_end(data)
    if whole is None:
        raise PermanentError(ErrorCode.TRUNCATED_IMAGE, TRUNCATED)
    return _decode(whole, format_name, limits, keep_profile=keep_profile)


def _if_whole(photograph: Photograph, data: bytes, format_name: str) -> Photograph:
    """Return the photograph. Raises PermanentError (`truncated_image`) if zeros are its rest."""
    with decoder_errors_as_codes(data, format_name):
        if is_filled_up(data, format_name):
            raise PermanentError(ErrorCode.TRUNCATED_IMAGE, TRUNCATED)
    return photograph


def _decode(data: bytes, format_name: str, limits: Limits, *, keep_profile: bool) -> Photograph:
    with decoder_errors_as_codes(data, format_name):
        source = open_source(data, format_name)
        check_size(source.size, limits)
        raster = source.read()
        rgb, alpha, profile = to_rgb(raster.image, raster.profile, keep_profile=keep_profile)
        alpha = _transparency(raster.alpha or alpha)
        return Photograph(rgb, alpha, profile, raster.dots_per_metre)


def check_size(size: tuple[int, int], limits: Limits) -> None:
    """Raise PermanentError (`too_many_pixels`) if (width, height) is over the limits."""
    width, height = size
    over = f"{width} x {height} pixels are over the limit of"
    if width * height > limits.pixels:
        raise PermanentError(ErrorCode.TOO_MANY_PIXELS, f"{over} {limits.pixels:,}.")
    if max(size) > limits.side:
        raise PermanentError(ErrorCode.TOO_MANY_PIXELS, f"{over} {limits.side:,} a side.")


def _transparency(alpha: Image.Image | None) -> Image.Image | None:
    """Return a photograph's alpha; None if it is opaque everywhere, as many programs write it.

    Raises PermanentError (`nothing_visible`).
    """
    lowest, highest = alpha.getextrema() if alpha else (OPAQUE, OPAQUE)
    if highest == 0:
        raise PermanentError(
            ErrorCode.NOTHING_VISIBLE, "Every pixel of the photograph is transparent."
        )
    return None if lowest == OPAQUE else alpha


def displayed_size(data: bytes) -> tuple[int, int]:
    """Return (width, height) as displayed, from the header alone. Raises as `decode` does."""
    format_name = detect_format(data)
    with decoder_errors_as_codes(data, format_name):
        return open_source(data, format_name).size
