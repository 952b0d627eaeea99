"""High dynamic range: from the signals of ITU-R BT.2100 to light, tone mapped for sRGB.

Per channel, so that a profile's curves can do it. Luminances are in cd/m2.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

WHITE = 203.0
"""Diffuse white (Report ITU-R BT.2408, section 2.1). The brightest that sRGB has."""
PEAK = 1000.0
"""Nominal peak of HLG, and the usual one of PQ. What is brighter is clipped to it."""
PQ_PEAK = 10_000.0
SAMPLES = 1024
"""Of each curve."""
FloatArray = NDArray[np.float64]

# BT.2100, tables 4 and 5
M1, M2 = 2610 / 16384, 2523 / 4096 * 128
C1, C2, C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
HLG_A = 0.17883277
HLG_B, HLG_C = 1 - 4 * HLG_A, 0.5 - HLG_A * np.log(4 * HLG_A)
HLG_KNEE = 0.5
"""Signal at which its logarithm begins."""
HLG_GAMMA = 1.2
"""Of the display, at a peak of 1000."""


@lru_cache(maxsize=1)
def pq_curve() -> FloatArray:
    """Return what sRGB shows of PQ signals 0..1 at equal steps, as linear light 0..1."""
    return _tone_mapped(np.linspace(0, 1, SAMPLES))


@lru_cache(maxsize=1)
def hlg_curve() -> FloatArray:
    """Return what sRGB shows of HLG signals 0..1 at equal steps, as linear light 0..1."""
    signal = np.linspace(0, 1, SAMPLES)
    scene = np.where(
        signal <= HLG_KNEE, signal**2 / 3, (np.exp((signal - HLG_C) / HLG_A) + HLG_B) / 12
    )
    return _tone_mapped(_pq_signal(PEAK * scene**HLG_GAMMA))


def _tone_mapped(signal: FloatArray) -> FloatArray:
    """Map PQ signals to the range of sRGB, by Report ITU-R BT.2390, section 5.4.1."""
    peak, white = _pq_signal(np.array([PEAK, WHITE]))
    values = np.clip(signal / peak, 0, 1)
    brightest = white / peak
    knee = 1.5 * brightest - 0.5
    t = np.clip((values - knee) / (1 - knee), 0, 1)
    rolled_off = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (3 * t**2 - 2 * t**3) * brightest
    )
    shown = np.where(values < knee, values, rolled_off) * peak
    return np.clip(_pq_light(shown) / WHITE, 0, 1)


def _pq_light(signal: FloatArray) -> FloatArray:
    power = signal ** (1 / M2)
    light: FloatArray = PQ_PEAK * (np.maximum(power - C1, 0) / (C2 - C3 * power)) ** (1 / M1)
    return light


def _pq_signal(light: FloatArray) -> FloatArray:
    power = (light / PQ_PEAK) ** M1
    signal: FloatArray = ((C1 + C2 * power) / (1 + C3 * power)) ** M2
    return signal
