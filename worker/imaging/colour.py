"""Colours: any mode and profile of a photograph to 8-bit RGB, and sRGB colours into a profile."""

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

from worker.imaging.icc import is_mostly_padding

Colour = tuple[int, int, int, int]
"""red, green, blue, alpha, 0..255 each"""
OPAQUE = 255
WHITE = "#ffffff"
GRID_STEPS = 6
"""Steps of red, green and blue at which a profile is compared with sRGB."""
MAX_SRGB_DIFFERENCE = 1
"""Levels of 255. A profile that differs less is sRGB, written by another program."""


def to_rgb(
    image: Image.Image, profile: bytes | None, *, keep_profile: bool = False
) -> tuple[Image.Image, Image.Image | None, bytes | None]:
    """Return (RGB image, alpha or None, ICC profile or None) of an image of any mode but I and F.

    Colours are converted to sRGB by littleCMS, and the profile returned is None. With
    `keep_profile`, RGB keeps its values and its profile. A profile is ignored if it cannot be read,
    is mostly padding, or is for another mode. The alpha is mode L; it is None if the source has no
    transparency.
    """
    if profile and is_mostly_padding(profile):
        profile = None
    if image.mode.startswith("I;16"):
        image = _16_bit_grey_to_8(image)
    is_grey = image.mode in {"1", "L", "LA", "La"}
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
    if image.mode == "LAB" or (image.mode == "CMYK" and profile):
        return to_srgb(image, profile), alpha, None
    if is_grey and profile and _space(profile) == b"GRAY":
        return to_srgb(image.convert("L"), profile), alpha, None
    rgb = image if image.mode == "RGB" else image.convert("RGB")  # convert() alone would copy
    if not profile or _space(profile) != b"RGB " or is_srgb(profile):
        return rgb, alpha, None
    if keep_profile:
        return rgb, alpha, profile
    return to_srgb(rgb, profile), alpha, None


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


def _space(profile: bytes) -> bytes:
    """Return the colour space of a profile's header (ICC.1, section 7.2); empty if it has none."""
    return profile[16:20] if profile[36:40] == b"acsp" else b""


def _16_bit_grey_to_8(image: Image.Image) -> Image.Image:
    """Return 16-bit grey, 0..65535, as mode L or LA: the upper byte of each value.

    The transparent value that a PNG may name becomes alpha. Pillow's convert() would clip both.
    """
    samples = np.asarray(image)
    grey = Image.fromarray((samples >> 8).astype(np.uint8))
    if (transparent := image.info.get("transparency")) is not None:
        grey.putalpha(Image.fromarray(np.where(samples == transparent, 0, 255).astype(np.uint8)))
    return grey


@lru_cache(maxsize=16)
def is_srgb(profile: bytes) -> bool:
    """Check if converting a grid of colours from an RGB profile to sRGB changes hardly any."""
    steps = np.linspace(0, 255, GRID_STEPS).astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(1, -1, 3)
    try:
        transform = _transform_to_srgb(profile, "RGB")
    except (OSError, ImageCms.PyCMSError):
        return True  # unusable: the colours stay as they are
    converted = np.asarray(transform.apply(Image.fromarray(grid)), np.int16)
    return bool(np.abs(converted - grid).max() <= MAX_SRGB_DIFFERENCE)


@lru_cache(maxsize=16)
def _transform_to_srgb(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform:
    """Return the transform from a profile to sRGB in mode RGB. Raises OSError or PyCMSError."""
    source = io.BytesIO(profile) if profile else ImageCms.createProfile("LAB")
    return ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(source), ImageCms.createProfile("sRGB"), mode, "RGB"
    )


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return the image as mode RGB in sRGB; mode RGB is converted in place.

    `profile` may be None for Lab. If it is broken or does not fit the image's mode, the image is
    converted without.
    """
    if image.mode == "LAB" and (profile is None or _space(profile) != b"Lab "):
        profile = None
    try:
        transform = _transform_to_srgb(profile, image.mode)
        if image.mode == "RGB":
            return transform.apply_in_place(image)
        return transform.apply(image)
    except (OSError, ImageCms.PyCMSError):
        return image.convert("RGB")
