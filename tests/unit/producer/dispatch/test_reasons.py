import pytest

from contract.errors import ErrorCode
from contract.outcome import AttemptResult
from producer.dispatch import reasons
from producer.dispatch.breaker import evaluate
from producer.dispatch.missing_workers import NO_QUARANTINE, NO_WORKER
from producer.dispatch.reasons import kind_of


@pytest.mark.parametrize("code", [ErrorCode.ACCESS_DENIED, ErrorCode.STORAGE_UNAVAILABLE])
def test_every_reason_of_the_breaker_is_recognised(code: ErrorCode):
    tripped = evaluate([AttemptResult(code)] * 30)
    assert tripped
    assert kind_of("paused", tripped.reason) == "breaker"
    assert kind_of("open", tripped.reason) == "breaker"


@pytest.mark.parametrize(
    ("state", "reason", "kind"),
    [
        ("paused", "Paused by an operator; `cutout resume` continues it.", "paused"),
        ("open", NO_QUARANTINE, "workers"),
        ("open", NO_WORKER.format(model="u2netp", pipeline=4), "workers"),
        ("open", reasons.STARTS_AT.format(time="2026-01-01T00:00Z"), "scheduled"),
        ("open", reasons.OUTRANKED, "outranked"),
        ("open", reasons.THROTTLED, "throttled"),
        ("open", "storage_unavailable: s3://a: HTTP 503.", "other"),
        ("cancelling", reasons.BEING_PROCESSED.format(seconds=300), "other"),
    ],
)
def test_a_reason_has_one_kind(state, reason: str, kind: str):
    assert kind_of(state, reason) == kind
