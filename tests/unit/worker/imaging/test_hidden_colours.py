"""Colours under alpha 0 are hidden: no viewer shows them, so they may decide nothing."""

import numpy as np
import pytest
from PIL import Image
from support.images import LIMITS, encoded

from contract.rendition import Rendition
from worker.imaging.cutout import compose
from worker.imaging.decode import Photograph, decode
from worker.imaging.encode import encode
from worker.imaging.icc import DISPLAY_P3, SRGB_CURVE, rgb_profile
from worker.imaging.render import render

SIZE = (120, 90)
HIDDEN = {
    "black": np.zeros((90, 120, 3), np.uint8),
    "white": np.full((90, 120, 3), 255, np.uint8),
    "noise": np.random.default_rng(8).integers(0, 256, (90, 120, 3), np.uint8),
}
OPTIONS = {"PNG": {}, "TIFF": {}, "WEBP": {"lossless": True, "exact": True}}
RENDITIONS = {
    "plain": Rendition(),
    "shrunk": Rendition(size=0.001, crop=True),
    "WebP": Rendition(format="webp"),
    "zip": Rendition(format="zip"),
    "on a colour": Rendition(format="jpg", background="#ff8800"),
    "blurred": Rendition(format="jpg", background="blur"),
}


def cut_out_before(hidden: str, format_name: str, *, profile: bytes | None = None) -> bytes:
    """A round subject with a soft edge and holes, and what is hidden around it."""
    y, x = np.mgrid[0:90, 0:120]
    distance = np.hypot(x - 60, y - 45)
    alpha = np.clip((35 - distance) * 20, 0, 255).astype(np.uint8)
    alpha[40:50, 50:70] = 0
    colours = np.stack([x * 2, y * 2, 255 - x], -1).astype(np.uint8)
    colours[alpha == 0] = HIDDEN[hidden][alpha == 0]
    image = Image.fromarray(np.dstack([colours, alpha]))
    return encoded(image, format_name, icc_profile=profile, **OPTIONS[format_name])


def photographs(format_name: str, *, keep_profile: bool = False) -> list[Photograph]:
    profile = rgb_profile(DISPLAY_P3, SRGB_CURVE) if keep_profile else None
    return [
        decode(
            cut_out_before(name, format_name, profile=profile), LIMITS, keep_profile=keep_profile
        )
        for name in HIDDEN
    ]


@pytest.mark.parametrize("keep_profile", [False, True])
@pytest.mark.parametrize("format_name", OPTIONS)
def test_hidden_colours_are_not_shown_to_the_network(format_name: str, keep_profile: bool):
    shown = {p.shown().tobytes() for p in photographs(format_name, keep_profile=keep_profile)}
    assert len(shown) == 1
    (image,) = shown
    assert image[:3] == b"\xff\xff\xff"


@pytest.mark.parametrize("decontaminate", [False, True])
@pytest.mark.parametrize("name", RENDITIONS)
def test_hidden_colours_are_in_no_output(name: str, decontaminate: bool):
    rendition = RENDITIONS[name]
    matte = Image.new("L", SIZE, 0)
    matte.paste(230, (10, 5, 110, 85))
    outputs = {
        encode(render(compose(p, matte, decontaminate=decontaminate), rendition), rendition)
        for p in photographs("PNG")
    }
    assert len(outputs) == 1


def test_what_was_transparent_stays_transparent():
    for photograph in photographs("PNG"):
        cutout = compose(photograph, Image.new("L", SIZE, 255))
        assert np.array_equal(np.asarray(cutout.alpha), np.asarray(photograph.alpha))
