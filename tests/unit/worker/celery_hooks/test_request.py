import copy
from types import SimpleNamespace

import pytest
from billiard.exceptions import WorkerLostError
from celery.events.state import Task
from celery.exceptions import Ignore, Reject, Retry
from celery.worker.request import Request

from contract.errors import ErrorCode, PermanentError, RetryableError
from contract.ledger.records import RESULT_CRASH
from worker.celery_hooks.request import CutoutRequest, result_of
from worker.failure import DeferredError
from worker.tasks import ImageFailedError

DENIED = PermanentError(ErrorCode.ACCESS_DENIED, "No role.")
AWAY = RetryableError(ErrorCode.REDIS_UNAVAILABLE, "Redis did not answer.")


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (Retry(str(DeferredError(DENIED, 1))), "access_denied"),
        (Retry(str(AWAY)), "redis_unavailable"),
        (ImageFailedError("corrupt_image: The image cannot be decoded."), "corrupt_image"),
        (WorkerLostError("Worker exited prematurely: signal 9 (SIGKILL) Job: 1."), RESULT_CRASH),
        (Ignore(), ""),
        (Reject("not a cutout job", requeue=False), ""),
    ],
)
def test_the_main_process_reads_the_result_of_an_attempt_from_its_exception(error, result) -> None:
    # a copy is rebuilt as an exception is that a child sends
    assert result_of(copy.copy(error)) == result


@pytest.mark.parametrize(("reason", "state"), [("settled", "REVOKED"), ("stopped", "RETRY")])
def test_flower_sees_the_end_of_an_image_with_which_there_was_nothing_to_do(
    monkeypatch, reason: str, state: str
) -> None:
    seen = Task(uuid="b.0")
    seen.event("started", 1.0, 1.0, {})
    one = object.__new__(CutoutRequest)
    monkeypatch.setattr(Request, "on_failure", lambda *_, **__: None)
    monkeypatch.setattr(
        one, "send_event", lambda kind, **fields: seen.event(kind[5:], 2.0, 2.0, fields)
    )
    one.on_failure(SimpleNamespace(exception=Ignore(reason)))
    assert seen.state == state
