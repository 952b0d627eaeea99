import io

import pytest

from contract.errors import ErrorCode, PermanentError
from contract.outcome import Outcome, Output, Status
from producer.batches import arrow
from producer.batches.report.parquet import write_parquet


@pytest.mark.slow
def test_a_report_as_parquet_has_the_exact_values():
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [
        Outcome(
            line=0, key="=a\n.jpg", status=Status.DONE, foreground=0.25,
            doubts=[ErrorCode.SUBJECT_CUT_BY_FRAME],
            milliseconds={"decode": 12}, outputs=[Output(key="a.png", width=6, height=4)],
        ),
        Outcome(line=1, key="b.jpg", status=Status.FAILED, code=ErrorCode.NOT_AN_IMAGE),
    ]  # fmt: skip
    file = io.BytesIO()
    assert write_parquet(rows, file) == 2
    first, second = parquet.read_table(io.BytesIO(file.getvalue())).to_pylist()
    assert first["key"] == "=a\n.jpg"
    assert (first["decode_ms"], first["matte_ms"], first["foreground"]) == (12, None, 0.25)
    assert (first["doubts"], second["doubts"]) == (["subject_cut_by_frame"], [])
    assert first["outputs"] == [
        {
            "name": "",
            "key": "a.png",
            "width": 6,
            "height": 4,
            "bytes": 0,
            "preset": "",
            "review": None,
        }
    ]
    assert (first["width"], first["failed_renditions"], first["code"]) == (6, [], None)
    assert (second["line"], second["status"], second["code"]) == (1, "failed", "not_an_image")


def test_without_pyarrow_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(arrow, "find_spec", lambda _: None)
    with pytest.raises(PermanentError) as caught:
        write_parquet([], io.BytesIO())
    assert caught.value.code is ErrorCode.EXTRA_MISSING
    assert "Parquet needs pyarrow" in caught.value.message
    assert "pip install 'cutout-queue[" in str(caught.value)
