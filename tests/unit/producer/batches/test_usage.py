import pytest

from contract.errors import ErrorCode
from contract.outcome import Outcome, Output, Status
from producer.batches.usage import usage

ROWS = [
    Outcome(
        line=0, key="a.jpg", status=Status.DONE, cpu_ms=1500, s3_requests=3, bytes_read=1000,
        outputs=[Output(key="a.png", bytes=4000)],
    ),
    Outcome(line=1, key="b.jpg", status=Status.DONE, cpu_ms=2250, s3_requests=4,
            outputs=[Output(key="b.png", bytes=10)]),
    Outcome(line=2, key="c.jpg", status=Status.SKIPPED, cpu_ms=1, s3_requests=1),
    Outcome(
        line=3, key="d.jpg", status=Status.FAILED, code=ErrorCode.NOT_AN_IMAGE, cpu_ms=49,
        s3_requests=2, bytes_read=7,
    ),
]  # fmt: skip


def test_a_summary_adds_up_all_images_and_divides_by_the_outputs() -> None:
    fields = usage(ROWS).as_json(price_per_core_hour=0.036)
    assert fields == {
        "cpu_seconds": 3.8,
        "s3_requests": 10,
        "bytes_read": 1007,
        "bytes_written": 4010,
        "price_per_core_hour": 0.036,
        "cost_per_1000_images": pytest.approx(0.019),  # 3.8 s of 0.00001 each, for 2 outputs
    }


def test_without_a_price_or_an_output_nothing_has_a_cost() -> None:
    assert "cost_per_1000_images" not in usage(ROWS).as_json(None)
    assert usage(ROWS[2:]).as_json(1.0)["cost_per_1000_images"] is None
