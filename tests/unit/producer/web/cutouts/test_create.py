"""A cutout never replaces its photograph."""

import pytest

from contract.errors import ErrorCode
from contract.ledger.memory import MemoryLedger
from contract.settings import Settings
from producer.web.context import Context
from producer.web.cutouts.create import _resolve
from producer.web.cutouts.request import NewCutout
from producer.web.problems import RequestError

CUTOUT = "c-20260101-000000-abcdefabcdef"
TWO = {"renditions": [{"name": "web", "format": "jpg"}, {"name": "large"}]}


@pytest.mark.parametrize(
    ("source", "destination", "recipe"),
    [
        ("in/a.jpg", "in/a.jpg", None),
        ("in/a.web.jpg", "in/a.png", TWO),
        ("in/a.large.png", "in/a.png", TWO),
        ("in/a.matte.png", "in/a.png", {"keep_matte": True}),
    ],
)
def test_no_output_may_be_the_photograph(
    source: str, destination: str, recipe: dict | None
) -> None:
    context = Context(
        settings=Settings(), ledger=MemoryLedger(), keys=None, store="s3://web", event_rules=[]
    )
    body = {"source": f"s3://photographs/{source}", "recipe": recipe}
    elsewhere = NewCutout(**body, destination="s3://photographs/out/a.png")
    assert _resolve(context, CUTOUT, elsewhere, None, None).spec.id == CUTOUT
    beside = NewCutout(**body, destination=f"s3://photographs/{destination}")
    with pytest.raises(RequestError) as caught:
        _resolve(context, CUTOUT, beside, None, None)
    assert caught.value.code is ErrorCode.OVERLAPPING_LOCATIONS
