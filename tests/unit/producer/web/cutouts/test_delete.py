"""Deleting a cutout deletes what is its own, and nothing that the client named."""

from pathlib import Path

import pytest

from contract import names
from contract.cutout import CutoutSpec
from contract.job import ManifestLine
from contract.ledger.memory import MemoryLedger
from contract.recipe import Recipe
from contract.settings import Settings
from contract.storage import canonical_location, open_store
from producer.dispatch.cutouts import cutout_spec
from producer.web.context import Context
from producer.web.cutouts.delete import delete
from producer.web.cutouts.private_fields import private_fields_key, upload_key

CUTOUT = "c-20260101-000000-abcdefabcdef"
OWN = (upload_key(CUTOUT, ".jpg"), names.cutout_result_key(CUTOUT, ".png"))
NAMED = ("shoe.jpg", "shoe.png")


@pytest.mark.parametrize(("keys", "kept"), [(OWN, set()), (NAMED, {*NAMED})])
def test_objects_that_the_client_named_in_the_servers_own_store_are_kept(
    tmp_path: Path, keys: tuple[str, str], kept: set[str]
) -> None:
    location, ledger = canonical_location(str(tmp_path)), MemoryLedger()
    store = open_store(location)
    context = Context(
        settings=Settings(),
        ledger=ledger,
        keys=None,
        store=location,
        event_rules=[],  # type: ignore[arg-type]
    )
    photograph, output = keys
    for key in (*keys, private_fields_key(CUTOUT)):
        store.put(key, b"x", "image/png")
    cutout = CutoutSpec(
        photograph=ManifestLine(key=photograph, size=1, etag="1"), destination_key=output
    )
    spec = cutout_spec(CUTOUT, location, location, Recipe(model="u2netp"), cutout)
    ledger.cutouts.register(spec)
    delete(context, spec)
    assert {item.key for item in store.list()} == kept
    assert ledger.batches.was_deleted(CUTOUT)
