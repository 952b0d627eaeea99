import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from producer.batches.preview import Preview
from producer.cli.times import duration_text
from producer.local.plan import compute
from producer.local.sample import Clock, Sample

SAMPLE = Sample(
    images=4, failed=0, formats={".jpg": 4}, megapixels=4.0, cpus=2, startup_seconds=10,
    images_per_second=1.6, cpu_seconds=(0.5, 1.0, 1.0, 1.5), bytes_read=(1000, 2000, 2000, 3000),
    bytes_written=5000, s3_requests=3,
)  # fmt: skip


def test_files_like_those_of_the_sample_take_as_long():
    plan = compute(Preview(photographs=16_000, bytes=16_000 * 2000), SAMPLE)
    assert plan.cpu_seconds_per_image == pytest.approx(1.0)
    assert plan.images_per_second == pytest.approx(1.6)
    assert plan.seconds == pytest.approx(10 + 10_000)
    assert plan.core_hours == pytest.approx(16_000 / 3600)
    assert plan.core_hours_elapsed == pytest.approx(20_000 / 3600)
    assert (plan.s3_requests, plan.bytes_read, plan.bytes_written) == (48_000, 32e6, 80e6)
    assert (plan.cores_needed, plan.cost) == (None, None)


def test_larger_files_take_longer_by_the_line_through_the_sample():
    plan = compute(Preview(photographs=100, bytes=100 * 4000), SAMPLE)
    assert plan.cpu_seconds_per_image == pytest.approx(2.0)
    assert plan.images_per_second == pytest.approx(0.8)


def test_tiny_files_never_take_less_than_the_shortest_of_the_sample():
    plan = compute(Preview(photographs=100, bytes=100), SAMPLE)
    assert plan.cpu_seconds_per_image == pytest.approx(0.5)


def test_files_of_unknown_sizes_take_as_long_as_the_sample():
    plan = compute(Preview(photographs=100, unknown_sizes=100), SAMPLE)
    assert plan.cpu_seconds_per_image == pytest.approx(1.0)
    assert plan.bytes_read == 100 * 2000


def test_a_deadline_needs_cpus_and_memory():
    size = Preview(photographs=16_000, bytes=16_000 * 2000)
    plan = compute(size, SAMPLE, seconds_left=1010)
    assert plan.cores_needed == 20
    assert plan.memory_needed == 25 * 500_000_000
    assert compute(size, SAMPLE, seconds_left=-5).cores_needed == 20_000


def test_prices_are_of_occupied_cores_and_of_requests():
    size = Preview(photographs=16_000, bytes=16_000 * 2000)
    plan = compute(size, SAMPLE, price_per_core_hour=0.09, price_per_1000_requests=0.005)
    assert plan.cost == pytest.approx(0.5 + 0.24)
    assert compute(size, SAMPLE, price_per_1000_requests=0.005).cost == pytest.approx(0.24)


def test_failed_photographs_take_no_cpu_time_and_write_nothing():
    sample = replace(SAMPLE, images=8, failed=4)
    plan = compute(Preview(photographs=16_000, bytes=16_000 * 2000), sample)
    assert plan.core_hours == pytest.approx(8000 / 3600)
    assert plan.images_per_second == pytest.approx(1.6)
    assert plan.bytes_written == 8000 * 5000


def test_the_rate_is_that_while_all_children_are_busy(monkeypatch):
    clock = Clock(100.0)
    for moment, settled in (
        (108, 0),
        (110, 1),
        (112, 3),
        (114, 7),
        (116, 11),
        (118, 13),
        (130, 14),
    ):
        monkeypatch.setattr(time, "monotonic", lambda moment=moment: moment)
        clock.note(SimpleNamespace(settled=settled))
    assert clock.startup_seconds == 10
    assert clock.images_per_second(children=3) == pytest.approx(8 / 4)
    assert clock.images_per_second(children=10) == pytest.approx(13 / 20)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (89, "89 s"),
        (90, "1 min 30 s"),
        (156, "2 min 40 s"),
        (596, "10 min"),
        (3600, "1 h 00 min"),
        (32_700, "9 h 05 min"),
    ],
)
def test_durations_are_short(seconds: float, text: str):
    assert duration_text(seconds) == text
