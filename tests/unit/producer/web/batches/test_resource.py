"""What is made of a batch's photographs, as a request says."""

import json

import pytest
from pydantic import ValidationError

from contract.errors import ErrorCode
from contract.quality import Quality
from contract.recipe import Recipe
from contract.rendition import Rendition
from producer.recipes.document import of_presets
from producer.web.batches.resource import NewBatch, Retry

LOCATIONS = {"source": "s3://photographs/in", "destination": "s3://photographs/out"}
TWO = [{"name": "alpha"}, {"name": "web", "format": "webp", "key": "web/{dir}/{stem}.{ext}"}]


def read(**fields: object) -> NewBatch:
    return NewBatch.model_validate_json(json.dumps(LOCATIONS | fields))


def test_a_batch_takes_a_recipe_a_preset_or_a_quality() -> None:
    renditions = tuple(Rendition(**fields) for fields in TWO)
    assert read(recipe={"renditions": TWO}).document.recipe("u2netp") == Recipe(
        model="u2netp", renditions=renditions
    )
    assert read(recipe="white").document == of_presets(["white"])
    assert read(quality={"passes": 1}).document.quality == Quality(passes=1)
    assert read().document.recipe("u2netp") == Recipe(model="u2netp")


def test_a_retry_names_a_code_of_images() -> None:
    assert Retry(code=ErrorCode.POISONED).code is ErrorCode.POISONED
    assert Retry.model_validate_json('{"code": null}').code is None
    for code in (ErrorCode.BATCH_UNKNOWN, ErrorCode.REDIS_TLS, "none"):
        with pytest.raises(ValidationError):
            Retry.model_validate({"code": code})


@pytest.mark.parametrize(
    "fields",
    [
        {"recipe": "whyte"}, {"recipe": "white", "quality": {}}, {"recipe": {"renditions": []}},
        {"recipe": {"model": "u2net"}, "model": "u2netp"},
    ],
)  # fmt: skip
def test_a_recipe_that_cannot_be_is_refused(fields: dict) -> None:
    with pytest.raises(ValidationError):
        read(**fields)
