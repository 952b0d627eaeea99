"""An ended cutout is stored in little memory, and read back as it was."""

import json

import pytest

from contract.ledger.ended_cutout import PACKED, packed, unpacked
from contract.outcome import Outcome, Output, Status

OUTCOME = Outcome(
    line=0, key="c-20261127-231305-0000000007cf", status=Status.DONE,
    milliseconds={"check": 21, "fetch": 48, "wait": 0, "decode": 55, "matte": 310, "encode": 190},
    foreground=0.3125, source_etag='"d41d8cd98f00b204e9800998ecf8427e"',
    outputs=[
        Output(
            key="cut-outs/c-20261127-231305-0000000007cf.png", width=2400, height=1600, bytes=10**6
        )
    ],
)  # fmt: skip
ROWS = [
    {"state": "closed", "outcome": OUTCOME.model_dump_json(), "spec": '{"id": "c-"}', "done": "1"},
    {"state": "closed", "outcome": json.dumps({"key": "Größe \N{CAMERA}"}), "closed": "1.25"},
    {},
]


@pytest.mark.parametrize("row", ROWS)
def test_a_packed_hash_is_read_as_it_was(row: dict[str, str]) -> None:
    assert unpacked({"state": "closed", PACKED: packed(row)}) == row
    assert unpacked(row) == row


def test_a_packed_hash_takes_less_than_half() -> None:
    [row, *_] = ROWS
    assert len(packed(row)) < len(json.dumps(row)) / 2
