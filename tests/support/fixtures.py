"""Fixtures that import the product: the conftest.py of each tier names those that it uses.

`tests/system` uses none of them, and so imports none of the product's code.
"""

from collections.abc import Iterator
from functools import cache

import botocore.session
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
    for cached in (settings, open_store, s3_client, publisher.app, publisher.template_of):
        cached.cache_clear()


@pytest.fixture(scope="session", autouse=True)
def shared_s3_model() -> Iterator[None]:
    """Parse botocore's description of S3 once per process: it takes 0.14 s for each client."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", cache(botocore.session.create_loader))
        yield


@pytest.fixture
def ledger(redis_server: RedisServer) -> RedisLedger:
    return RedisLedger(redis_server.url)
