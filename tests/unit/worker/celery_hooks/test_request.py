import copy

import pytest
from billiard.exceptions import WorkerLostError
from celery.exceptions import Ignore, Reject, Retry

from contract.errors import ErrorCode, PermanentError, RetryableError
from contract.ledger.records import RESULT_CRASH
from worker.celery_hooks.request import result_of
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
