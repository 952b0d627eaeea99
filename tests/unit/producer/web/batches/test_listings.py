"""What becomes of a batch whose source a server could not list."""

import time

import pytest

from contract.batch import BatchSpec
from contract.errors import REDIS_CODES, ErrorCode, PermanentError, RetryableError
from contract.ledger.memory import MemoryLedger
from contract.recipe import Recipe
from producer.web.batches import listings

BATCH, TOKEN = "b-20260101-000000-aaaaaa", "0" * 8
MISSING = PermanentError(ErrorCode.OBJECT_MISSING, "There is no bucket.")


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (MISSING, "failed"),
        (ZeroDivisionError(), "failed"),
        *((RetryableError(code, "Not now."), "registering") for code in sorted(REDIS_CODES)),
    ],
)
def test_a_listing_fails_unless_redis_is_at_fault(error: Exception, state: str) -> None:
    ledger = MemoryLedger()
    spec = BatchSpec(
        id=BATCH, source="s3://a", destination="s3://b", recipe=Recipe(model="u2netp"),
        created=time.time(), total=0, segment_lines=10,
    )  # fmt: skip
    ledger.listings.begin(spec)
    ledger.listings.acquire(BATCH, TOKEN)
    listings._fail(ledger, spec, TOKEN, error)
    assert ledger.batches.progress(BATCH).state == state
