"""Photograph and matte become a cut-out with straight alpha."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from worker.imaging.decode import Photograph

Bytes = NDArray[np.uint8]


def compose(photograph: Photograph, matte: Image.Image) -> Bytes:
    """Return uint8 [height, width, 4].

    Straight alpha: where it is partial the colour is the photograph's own, never blended with
    black; where it is zero the colour is zero, so that nothing hidden is published. A source's
    own transparency stays: the alphas are multiplied.
    """
    alpha = ImageChops.multiply(matte, photograph.alpha) if photograph.alpha else matte
    rgba = photograph.rgb.copy()
    rgba.putalpha(alpha)
    pixels = np.array(rgba)
    pixels[pixels[..., 3] == 0] = 0
    return pixels


def foreground_share(cutout: Bytes) -> float:
    """Return the mean alpha, 0..1."""
    return float(cutout[..., 3].mean() / 255)
