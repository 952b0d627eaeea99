"""Colours: any mode and profile of a photograph to 8-bit RGB, and sRGB colours into a profile."""

import io

import numpy as np
from PIL import Image, ImageCms

Colour = tuple[int, int, int, int]
"""red, green, blue, alpha, 0..255 each"""
OPAQUE = 255
WHITE = "#ffffff"
MIN_SAMPLE_RANGE = 1e-9
"""Smaller ranges are not stretched: avoids a division by zero."""


def to_rgb(
    image: Image.Image, profile: bytes | None
) -> tuple[Image.Image, Image.Image | None, bytes | None]:
    """Return (RGB image, alpha or None, ICC profile or None) of an image in any of Pillow's modes.

    RGB keeps its values and its profile. CMYK and Lab are converted to sRGB by theirs. The alpha is
    mode L; it is None if the source has no transparency.
    """
    if image.mode.startswith("I;16"):
        image = _16_bit_grey_to_8(image)
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
    if image.mode in {"I", "F"}:
        image = _stretch_to_8_bit(image)
    elif image.mode in {"CMYK", "LAB"} and profile:
        image, profile = _to_srgb(image, profile), None
    if profile and not _is_rgb_profile(profile):
        profile = None
    rgb = image if image.mode == "RGB" else image.convert("RGB")  # convert() alone would copy
    return rgb, alpha, profile


def parse_colour(text: str, icc_profile: bytes | None = None) -> Colour:
    """Return the sRGB colour #rrggbb or #rrggbbaa as RGBA, converted into an ICC profile.

    A profile that cannot be read is ignored. White stays white in every profile: it is the paper.
    """
    red, green, blue, *alpha = bytes.fromhex(text.removeprefix("#"))
    if icc_profile and text[:7] != WHITE:
        pixel = Image.new("RGB", (1, 1), (red, green, blue))
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile))
            ImageCms.profileToProfile(pixel, ImageCms.createProfile("sRGB"), profile, inPlace=True)
        except (OSError, ImageCms.PyCMSError):
            pass
        red, green, blue = pixel.tobytes()
    return red, green, blue, alpha[0] if alpha else OPAQUE


def _is_rgb_profile(profile: bytes) -> bool:
    """Check the colour space and the signature in the header of a profile (ICC.1, section 7.2)."""
    return (profile[16:20], profile[36:40]) == (b"RGB ", b"acsp")


def _16_bit_grey_to_8(image: Image.Image) -> Image.Image:
    """Return 16-bit grey, 0..65535, as mode L or LA: the upper byte of each value.

    The transparent value that a PNG may name becomes alpha. Pillow's convert() would clip both.
    """
    samples = np.asarray(image)
    grey = Image.fromarray((samples >> 8).astype(np.uint8))
    if (transparent := image.info.get("transparency")) is not None:
        grey.putalpha(Image.fromarray(np.where(samples == transparent, 0, 255).astype(np.uint8)))
    return grey


def _stretch_to_8_bit(image: Image.Image) -> Image.Image:
    """Return 32-bit grey, integer or float of any range, as mode L.

    The smallest finite value becomes 0 and the largest 255, as such files state no white point.
    NaN becomes 0.
    """
    samples = np.asarray(image, dtype=np.float64)
    finite = samples[np.isfinite(samples)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    samples = np.nan_to_num(samples, nan=low, posinf=high, neginf=low)
    scale = 255 / max(high - low, MIN_SAMPLE_RANGE)
    return Image.fromarray(((samples - low) * scale).astype(np.uint8))


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Return the image as mode RGB in sRGB.

    If the profile is broken or does not fit the image's mode, it is converted without one.
    """
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
