"""Tests of the drills: each fails if the safeguard that it is about is switched off.

The breaker's is beside its drills, in test_storage_faults.py.
"""

import pytest
import test_crashes
import test_deliveries
import test_health
from support.drill import Drill


def assert_fails_without(safeguard: str, drill: Drill, run, seconds: float) -> None:
    drill.cluster.env["DRILL_WITHOUT"] = safeguard
    drill.close_seconds = seconds
    with pytest.raises(pytest.fail.Exception, match=f"nothing within {seconds} s"):
        run(drill)


@pytest.mark.long
def test_a_lost_message_stays_lost_without_the_reconciler(drill: Drill) -> None:
    assert_fails_without(
        "reconciler", drill, test_deliveries.test_a_message_is_lost_by_the_broker, 25
    )


@pytest.mark.long
def test_a_crashing_image_goes_round_for_ever_without_a_crash_limit(drill: Drill) -> None:
    assert_fails_without("crash_limit", drill, test_crashes.test_an_image_crashes_its_process, 40)


@pytest.mark.long
def test_a_deaf_worker_lives_on_without_the_watchdog(drill: Drill) -> None:
    assert_fails_without("watchdog", drill, test_health.test_a_worker_is_deaf, 120)
