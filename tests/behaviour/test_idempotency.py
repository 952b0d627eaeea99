"""A server that is killed right after it created a cutout does not free its idempotency key."""

import asyncio
from pathlib import Path

import pytest

from contract.cutout import CutoutSpec
from contract.job import ManifestLine
from contract.ledger.redis_ledger import RedisLedger
from contract.recipe import Recipe
from contract.settings import Settings
from producer.dispatch.cutouts import cutout_spec
from producer.web.context import Context
from producer.web.cutouts import idempotent
from producer.web.cutouts.request import NewCutout
from producer.web.events import cutouts as events
from producer.web.events.object_event import ObjectEvent
from producer.web.events.rules import Rule
from producer.web.idempotency_keys import RESERVED_SECONDS

RECIPE = Recipe(model="u2netp")
SOURCE = "s3://photographs/in/a.jpg"


class KilledError(Exception):
    """The server ends here."""


@pytest.fixture
def context(ledger: RedisLedger, tmp_path: Path) -> Context:
    return Context(Settings(), ledger, keys=None, store=f"file://{tmp_path}", event_rules=[])


@pytest.fixture
def killed(context: Context, monkeypatch: pytest.MonkeyPatch):
    """What stands in for creating a cutout: it registers it, and is killed."""

    def create(_context, cutout_id: str, *_) -> None:
        photograph = ManifestLine(key="a.jpg", size=1, etag="1")
        cutout = CutoutSpec(photograph=photograph, destination_key="a.png")
        spec = cutout_spec(
            cutout_id, "s3://photographs/in", "s3://out", Recipe(model="u2netp"), cutout
        )
        context.ledger.cutouts.register(spec)
        raise KilledError

    monkeypatch.setattr(idempotent, "create", create)


def assert_kept(context: Context) -> None:
    redis = context.ledger.connection.client
    [key] = redis.keys("cutout:idempotency:*")
    assert redis.ttl(key) > RESERVED_SECONDS


@pytest.mark.usefixtures("killed")
def test_a_request_that_is_sent_again_keeps_its_key(context: Context) -> None:
    def send() -> str:
        new = NewCutout(source=SOURCE)
        return asyncio.run(idempotent.create_once(context, "shop", "order-1", new, None))

    with pytest.raises(KilledError):
        send()
    assert context.ledger.batches.open_ids() == [send()]
    assert_kept(context)


@pytest.mark.usefixtures("killed")
def test_an_event_that_is_delivered_again_keeps_its_key(context: Context) -> None:
    event = ObjectEvent("photographs", "in/a.jpg", 1, "1", "01", "ObjectCreated:Put")
    rule = Rule(bucket="photographs", prefix="in/", destination="s3://photographs/out")

    def deliver() -> str | None:
        return events._create_once(context, event, rule, "digest")

    with pytest.raises(KilledError):
        deliver()
    assert deliver() is None
    assert len(context.ledger.batches.open_ids()) == 1
    assert_kept(context)
