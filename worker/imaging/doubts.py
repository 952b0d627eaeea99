"""Doubts about a photograph's subject, from the network's saliency of the whole photograph.

Saliency is judged as the network gives it. A matte is stretched to 0..255, and thereby makes a
subject of any noise.

The limits were chosen on one half of the pictures with and without a subject that docs/quality.md
describes, with `u2netp-int8` and `u2net-int8`. It also says how often they are right on the others.
"""

from dataclasses import dataclass

import numpy as np

from contract.errors import ErrorCode, PermanentError
from contract.policy import Policy
from worker.imaging.arrays import BoolArray, Float32Array

SIDE = 320
"""Larger maps are sampled down to about this many rows and columns."""
NEARBY = 4
"""Rows and columns: the soft rim of a subject is narrower, that of a smear is wider."""
SALIENT = 0.5
"""Saliency above which a pixel belongs to the subject."""

MIN_CERTAINTY = 0.87
"""With less, the network found nothing that stands out. Blank pages have 0.0, wood 0.3."""
SURE_CERTAINTY = 0.97
"""With less, the network hesitates. Of 45 photographs with exact alpha, those whose matte is right
(IoU of 0.9 or more) have 0.98 or more."""
MAX_SHARE = 0.85
"""A larger share of the photograph is a texture, not a subject."""
SCATTERED_CERTAINTY = 0.95
"""With less, what fills little of its own box is scattered over a texture. Antennas and legs of
cranes fill as little, but with more certainty."""
MIN_FILL = 0.2
"""Of its box: with less, and SCATTERED_CERTAINTY, there is no subject. The rocket of samples/, of
which the network is no surer than of bricks, fills 0.33."""
NEAR_CERTAINTY = 0.95
"""With less, what is seen from near is no subject either. The rocket of samples/ has 0.97."""
MIN_CONTACT = 0.03
"""Of one side of the frame. A subject that covers more goes on outside of the photograph."""

TEXTS = {
    ErrorCode.NO_SUBJECT: "Nothing in the photograph stands out as its subject.",
    ErrorCode.AMBIGUOUS_SUBJECT: "The network is unsure what the subject is, or where it ends.",
    ErrorCode.SUBJECT_CUT_BY_FRAME: "The subject goes on outside of the photograph.",
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is measured in a map of saliency. All are 0..1."""

    certainty: float
    """mean of the highest saliency near each pixel, weighted with the pixel's own"""
    share: float
    """of the photograph that the subject covers"""
    contact: float
    """largest share of a side of the frame that the subject covers"""
    fill: float
    """share that it covers of the smallest box around it"""


def measure(saliency: Float32Array) -> Evidence:
    """Measure a network's first output, float32 [rows, columns], 0..1. Takes 1 ms."""
    step = max(1, min(saliency.shape) // SIDE)
    values = saliency[::step, ::step]
    total = float(values.sum())
    if not 0 < total < float("inf"):  # written so that NaN counts as nothing
        return Evidence(0, 0, 0, 0)
    certainty = float((values * _highest_nearby(values)).sum()) / total
    subject = values > SALIENT
    sides = subject[0], subject[-1], subject[:, 0], subject[:, -1]
    contact = max(float(side.mean()) for side in sides)
    return Evidence(certainty, float(subject.mean()), contact, _fill(subject))


def _fill(subject: BoolArray) -> float:
    """Return the share that a mask covers of the smallest box around it; 0 if it is empty."""
    rows, columns = (np.flatnonzero(subject.any(axis)) for axis in (1, 0))
    if not len(rows):
        return 0
    box = subject[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return float(box.mean())


def _highest_nearby(values: Float32Array) -> Float32Array:
    """Return the maximum within NEARBY rows and columns of each value."""
    rows, columns = values.shape
    padded = np.pad(values, NEARBY)
    across = padded[:, :columns].copy()
    for shift in range(1, 2 * NEARBY + 1):
        np.maximum(across, padded[:, shift : shift + columns], out=across)
    highest = across[:rows].copy()
    for shift in range(1, 2 * NEARBY + 1):
        np.maximum(highest, across[shift : shift + rows], out=highest)
    return highest


def doubts(evidence: Evidence) -> tuple[ErrorCode, ...]:
    """Return what speaks against the subject: `no_subject` alone, or any of the others."""
    if _is_without_subject(evidence):
        return (ErrorCode.NO_SUBJECT,)
    found = {
        ErrorCode.AMBIGUOUS_SUBJECT: evidence.certainty < SURE_CERTAINTY,
        ErrorCode.SUBJECT_CUT_BY_FRAME: evidence.contact > MIN_CONTACT,
    }
    return tuple(code for code, applies in found.items() if applies)


def _is_without_subject(evidence: Evidence) -> bool:
    nothing = evidence.certainty < MIN_CERTAINTY
    everything = evidence.share > MAX_SHARE
    scattered = evidence.certainty < SCATTERED_CERTAINTY and evidence.fill < MIN_FILL
    return nothing or everything or scattered


def doubts_named(text: str) -> tuple[ErrorCode, ...]:
    """Return the doubts that a text names, as an output's metadata does."""
    words = text.split()
    return tuple(code for code in TEXTS if code in words)


def review_reason(doubts: tuple[ErrorCode, ...], policy: Policy) -> ErrorCode | None:
    """Return the doubt for which a photograph goes to review, if one does.

    Raises PermanentError with the first doubt that fails it.
    """
    treatment, doubt = policy.strictest(doubts)
    if treatment == "fail" and doubt:
        raise PermanentError(doubt, TEXTS[doubt])
    return doubt if treatment == "review" else None
