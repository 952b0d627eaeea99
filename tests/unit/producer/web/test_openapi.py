"""The OpenAPI document can be built without a server, and describes everything it names."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from producer.web.openapi import schema


@pytest.fixture(scope="module")
def document() -> dict:
    return schema()


@pytest.mark.slow
def test_it_needs_no_settings_and_no_services():
    environment = {name: text for name, text in os.environ.items() if "CUTOUT" not in name}
    code = "from producer.web.openapi import schema; print(*schema()['paths'])"
    answer = subprocess.run(
        [sys.executable, "-P", "-c", code],
        check=False, capture_output=True, text=True, env=environment, timeout=60,
    )  # fmt: skip
    assert "/v1/cutouts" in answer.stdout.split(), answer.stderr


def operations(document: dict) -> Iterator[tuple[str, dict]]:
    for path, methods in (document["paths"] | document["webhooks"]).items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def test_every_operation_has_a_summary_and_a_description(document: dict):
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["description"].endswith("."), name


def test_every_operation_of_the_api_says_which_scope_it_needs(document: dict):
    for name, operation in operations(document):
        if "/" in name:  # no webhook
            assert "scope" in operation["description"], name


def test_operation_ids_are_plain_and_unique(document: dict):
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(ids) == len(set(ids))
    assert all(name.isidentifier() and "v1" not in name for name in ids)


def test_every_parameter_has_a_description(document: dict):
    for name, operation in operations(document):
        for parameter in operation.get("parameters", []):
            assert parameter["description"].endswith("."), (name, parameter["name"])


def test_every_schema_and_field_has_a_description(document: dict):
    for name, shape in document["components"]["schemas"].items():
        if "enum" in shape:
            continue
        assert shape["description"], name
        for field, row in shape["properties"].items():
            assert row.get("description"), (name, field)
    for media_type in document["paths"]["/v1/cutouts"]["post"]["requestBody"]["content"].values():
        for field, row in media_type["schema"]["properties"].items():
            assert row["description"].endswith("."), field


def test_every_response_has_a_description(document: dict):
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            assert response["description"].endswith("."), (name, status)
