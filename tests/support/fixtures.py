"""Fixtures that import the product: the conftest.py of each tier names those that it uses.

`tests/system` uses none of them, and so imports none of the product's code.
"""

from collections.abc import Iterator

import pytest

from contract.ledger.redis_ledger import RedisLedger
from contract.settings import settings
from contract.storage.locations import open_store
from contract.storage.s3 import client as s3_client
from producer.dispatch import publisher
from support.services import RedisServer


@pytest.fixture(autouse=True)
def clean_caches(clean_environment: None) -> Iterator[None]:
    """Settings and clients are made from the environment of the test that asks for them."""
    _clear_caches()
    yield
    _clear_caches()


def _clear_caches() -> None:
    for cached in (settings, open_store, s3_client, publisher.app):
        cached.cache_clear()


@pytest.fixture
def ledger(redis_server: RedisServer) -> RedisLedger:
    return RedisLedger(redis_server.url)
