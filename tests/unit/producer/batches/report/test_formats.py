import csv
import io
import json

import pytest

from contract.errors import ErrorCode, PermanentError
from contract.outcome import Outcome, Output, Status
from producer.batches.report.formats import write_csv, write_jsonl
from producer.cli.batches import report

HOSTILE = "=cmd|' /C calc'!A0\x1b]0;owned\x07\r\n.jpg"


def test_a_hostile_key_is_one_harmless_row_of_the_csv_and_exact_in_the_jsonl() -> None:
    outcome = Outcome(
        line=3, key=HOSTILE, status=Status.FAILED, code=ErrorCode.CORRUPT_IMAGE, message=HOSTILE,
        milliseconds={"decode": 12},
    )  # fmt: skip
    table, lines = io.StringIO(newline=""), io.StringIO()

    assert write_csv([outcome], table) == write_jsonl([outcome], lines) == 1

    (row,) = csv.DictReader(io.StringIO(table.getvalue(), newline=""))
    assert (row["line"], row["status"], row["code"], row["decode_ms"]) == (
        "3", "failed", "corrupt_image", "12",
    )  # fmt: skip
    assert row["key"] == "'=cmd|' /C calc'!A0\\x1b]0;owned\\x07\\r\\n.jpg"
    assert row["message"].isprintable()
    assert json.loads(lines.getvalue())["key"] == HOSTILE


def test_the_csv_names_every_doubt() -> None:
    doubts = [ErrorCode.AMBIGUOUS_SUBJECT, ErrorCode.SUBJECT_CUT_BY_FRAME]
    outcomes = [
        Outcome(line=0, key="a.jpg", status=Status.DONE, doubts=doubts),
        Outcome(line=1, key="b.jpg", status=Status.DONE),
    ]
    table = io.StringIO(newline="")
    write_csv(outcomes, table)
    first, second = csv.DictReader(io.StringIO(table.getvalue(), newline=""))
    assert first["doubts"] == "ambiguous_subject;subject_cut_by_frame"
    assert second["doubts"] == ""


def test_the_csv_says_what_lies_in_review_and_why() -> None:
    outputs = [
        Output(key="_review/a.white.jpg", name="white", review=ErrorCode.PRESET_FAILED),
        Output(key="a.alpha.png", name="alpha"),
    ]
    alone = [Output(key="_review/b.png", review=ErrorCode.NO_SUBJECT)]
    table = io.StringIO(newline="")
    rows = [
        Outcome(line=0, key="a.jpg", status=Status.DONE, outputs=outputs),
        Outcome(line=1, key="b.jpg", status=Status.DONE, outputs=alone),
    ]
    write_csv(rows, table)
    first, second = csv.DictReader(io.StringIO(table.getvalue(), newline=""))
    assert (first["review"], second["review"]) == ("white:preset_failed", "no_subject")
    assert first["outputs"] == "_review/a.white.jpg;a.alpha.png"


def test_without_redis_the_error_says_where_the_report_of_a_finished_run_is(monkeypatch):
    monkeypatch.setenv("CUTOUT_REDIS_URL", "")
    with pytest.raises(PermanentError, match=r"_cutout/b-1/report\.csv") as caught:
        report("b-1")
    assert caught.value.code is ErrorCode.INVALID_SETTING
