"""A small bucket whose listing takes many pages, behind a proxy that can misbehave."""

from collections.abc import Iterator

import pytest

from contract.batch import BatchSpec
from contract.ledger.redis_ledger import RedisLedger
from contract.recipe import Recipe
from contract.storage import open_store
from contract.storage.batch_files import manifest_lines
from producer.batches import register as registration
from producer.batches import storage_retry
from support.faults import HttpProxy
from support.s3_stand_in import generated_keys, running
from support.services import S3Server

RECIPE = Recipe(model="u2netp")
PHOTOGRAPHS = 95
PAGE_KEYS, SEGMENT_LINES = 10, 20
LISTING = "list-type"
"""Part of the path of every listing."""


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many pages and segments with few objects; pauses of milliseconds."""
    monkeypatch.setattr(storage_retry, "PAGE_KEYS", PAGE_KEYS)
    monkeypatch.setattr(storage_retry, "PAUSE_SECONDS", (0.01, 0.05))
    monkeypatch.setattr(registration, "SEGMENT_LINES", SEGMENT_LINES)


@pytest.fixture
def proxy(small_pages: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpProxy]:
    with running(PHOTOGRAPHS) as url, HttpProxy(url) as proxy:
        S3Server(proxy.url).select(monkeypatch)
        yield proxy


@pytest.fixture
def small_bucket(proxy: HttpProxy) -> str:
    """A bucket with PHOTOGRAPHS photographs and a text, below `in/`."""
    open_store("s3://photographs/in").put("notes.txt", b"x", "text/plain")
    open_store.cache_clear()
    proxy.requests.clear()
    return "photographs"


def photographs() -> list[str]:
    return [key.removeprefix("in/") for key in generated_keys(PHOTOGRAPHS)]


def submit(ledger: RedisLedger, bucket: str, **options) -> BatchSpec:
    return registration.register(
        ledger, f"s3://{bucket}/in", f"s3://{bucket}/out", RECIPE, **options
    )


def listed(spec: BatchSpec) -> list[str]:
    """Return the keys in a batch's manifest, sorted."""
    segments = [list(manifest_lines(spec, number)) for number in range(spec.segments)]
    assert {len(lines) for lines in segments[:-1]} <= {spec.segment_lines}
    keys = sorted(line.key for lines in segments for line in lines)
    assert len(keys) == spec.total
    return keys
