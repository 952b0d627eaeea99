"""When a batch had better stop by itself: nearly every attempt ends in trouble around it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from contract.errors import NEXT_STEP, WORLDLY, ErrorCode

LEAST_ENDINGS = 20
"""Fewer say nothing: a small batch runs its retries to their end."""
BREAKING_SHARE = 0.8
TRIAL_SECONDS = 60
MAY_HEAL = frozenset(
    {
        ErrorCode.STORAGE_UNAVAILABLE, ErrorCode.URL_UNAVAILABLE, ErrorCode.OUT_OF_MEMORY,
        ErrorCode.TIME_LIMIT,
    }
)  # fmt: skip
"""Trouble that passes by itself: the batch is tried again every TRIAL_SECONDS. With the others (a
refused key, a missing bucket) each trial would only fail more images."""


@dataclass(frozen=True, slots=True)
class Trip:
    why: str
    heals: bool


def judge(endings: Sequence[str]) -> Trip | None:
    """Look at how a batch's last attempts ended; return why it should stop, if it should."""
    troubles = Counter(code for code in endings if code in WORLDLY)
    if len(endings) < LEAST_ENDINGS or troubles.total() < BREAKING_SHARE * len(endings):
        return None
    code, count = troubles.most_common(1)[0]
    heals = ErrorCode(code) in MAY_HEAL
    after = f"Tried again every {TRIAL_SECONDS} s." if heals else "`cutout resume` carries on."
    return Trip(
        f"{count} of the last {len(endings)} attempts ended in {code}."
        f" {NEXT_STEP[ErrorCode(code)]} {after}",
        heals,
    )
