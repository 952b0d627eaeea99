"""Two hundred damaged photographs of every format: each decoded or refused by a code."""

from collections import Counter
from pathlib import Path

from support.mutations import decode_apart, mutations, specimens

from contract.errors import ErrorCode

COUNT, SEED = 200, 17
IMAGE_CODES = {
    "", ErrorCode.TRUNCATED_IMAGE, ErrorCode.CORRUPT_IMAGE, ErrorCode.UNSUPPORTED_FORMAT,
    ErrorCode.NOT_AN_IMAGE, ErrorCode.TOO_MANY_PIXELS, ErrorCode.NOTHING_VISIBLE,
}  # fmt: skip
MAX_MEMORY_RATIO = 1.2
SLACK = 4 << 20
"""Bytes of libraries that are loaded only for some files."""


def family(name: str) -> str:
    """The format of a sound or damaged file: the last word of a specimen's name."""
    return name.rsplit(" of ", maxsplit=1)[-1].rsplit(maxsplit=1)[-1]


def test_damaged_files_end_by_a_code_in_the_memory_of_sound_ones(tmp_path: Path):
    sound = specimens()
    damaged = dict(mutations(sound, COUNT, SEED))
    assert len(damaged) == COUNT
    results = decode_apart(sound | damaged, tmp_path)
    limits: dict[str, float] = {}
    for name in sound:
        assert results[name].code == ""
        limits[family(name)] = max(
            limits.get(family(name), 0), MAX_MEMORY_RATIO * results[name].growth + SLACK
        )
    ends = {name: results[name] for name in damaged}
    assert {name: end.code for name, end in ends.items() if end.code not in IMAGE_CODES} == {}
    assert {
        name: end.growth for name, end in ends.items() if end.growth > limits[family(name)]
    } == {}
    counts = Counter(end.code for end in ends.values())
    # the damage is neither harmless nor fatal to all
    assert min(counts[code] for code in ("", "corrupt_image", "truncated_image")) > COUNT / 20
