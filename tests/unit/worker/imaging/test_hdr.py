"""Tone mapping of PQ and HLG."""

import numpy as np
import pytest

from worker.imaging.hdr import hlg_curve, pq_curve

CURVES = pytest.mark.parametrize("curve", [pq_curve(), hlg_curve()], ids=["PQ", "HLG"])


def shown(curve: np.ndarray, signal: float) -> float:
    """Linear light, 0..1 of sRGB's."""
    return float(np.interp(signal, np.linspace(0, 1, len(curve)), curve))


@CURVES
def test_brighter_never_becomes_darker(curve: np.ndarray):
    assert np.diff(curve).min() >= 0
    assert (curve[0], curve[-1]) == (0, pytest.approx(1))


@pytest.mark.parametrize("nits", [1, 10, 50, 90])
def test_what_is_darker_than_the_knee_keeps_its_light(nits: int):
    """Signals by BT.2100: PQ's of these luminances."""
    signal = {1: 0.1500, 10: 0.3019, 50: 0.4403, 90: 0.4986}[nits]
    assert shown(pq_curve(), signal) == pytest.approx(nits / 203, rel=0.03)


def test_both_signals_of_white_are_shown_alike():
    """Report BT.2408, table 1: 58 % of PQ and 75 % of HLG."""
    assert shown(pq_curve(), 0.5807) == pytest.approx(shown(hlg_curve(), 0.75), rel=0.01)


def test_light_above_white_is_told_apart_up_to_the_peak():
    levels = [shown(pq_curve(), signal) for signal in (0.58, 0.63, 0.68, 0.7518, 0.9)]
    assert np.diff(levels).tolist() == sorted(np.diff(levels), reverse=True)
    assert levels[-2:] == [pytest.approx(1, abs=1e-3)] * 2
