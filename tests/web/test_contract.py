"""The server does what its OpenAPI document says, for generated requests."""

import json

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode, checks
from support.services import until
from support.serving import Server, assert_problem, assert_safe, jpeg

from contract.rendition import PLAIN, Rendition

S3 = "rclone"
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
    checks.allow_header_conformance,
]
FEW = settings(
    max_examples=8,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def document(shared: Server) -> dict:
    return shared.client.get("/openapi.json").json()


@pytest.fixture(scope="module")
def ids(shared: Server) -> dict[str, str]:
    """IDs that exist, for requests that get beyond a 404."""
    bucket = shared.bucket()
    shared.put(bucket, "in/bad.jpg", b"<html>")
    body = {"source": f"s3://{bucket}/in", "destination": f"s3://{bucket}/out"}
    batch = shared.client.post("/v1/batches", json=body).json()["id"]
    url = f"/v1/batches/{batch}"
    until(lambda: shared.client.get(url).json()["state"] == "closed")
    cutout = shared.upload(b"<html>", wait=30).json()["id"]
    return {"batch_id": batch, "cutout_id": cutout, "line": "0"}


def assert_conforms(shared: Server, operation, mode: GenerationMode, **options) -> None:
    @FEW
    @given(case=operation.as_strategy(generation_mode=mode, **options))
    def run(case) -> None:
        answer = case.call(base_url=shared.url)
        assert answer.headers["x-content-type-options"] == ["nosniff"]
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == ["application/problem+json"]
        chosen = [c for c in CHECKS if mode.is_negative or c is not checks.negative_data_rejection]
        case.validate_response(answer, checks=chosen)

    run()


def test_the_server_does_as_its_document_says(shared: Server, document: dict, ids) -> None:
    schema = schemathesis.openapi.from_dict(document)
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) >= 16
    for operation in sorted(operations, key=lambda op: op.method == "delete"):
        names = {p.name for p in operation.path_parameters}
        assert_conforms(shared, operation, GenerationMode.POSITIVE)
        if operation.body or operation.query or operation.headers:
            assert_conforms(shared, operation, GenerationMode.NEGATIVE)
        if names:
            existing = {name: ids[name] for name in names}
            assert_conforms(shared, operation, GenerationMode.POSITIVE, path_parameters=existing)
    shared.assert_works()
    assert "Traceback" not in shared.cluster.log("serve")


def test_every_error_of_the_document_is_a_problem(document: dict) -> None:
    for template, path in document["paths"].items():
        for method, operation in path.items():
            for status, response in operation["responses"].items():
                if status >= "400":
                    assert list(response["content"]) == ["application/problem+json"]
            assert operation["security"], (method, template)
            assert {"401", "403", "405", "429", "503"} <= operation["responses"].keys(), template
    body = document["paths"]["/v1/cutouts"]["post"]["requestBody"]["content"]
    assert set(body) == {"application/json", "multipart/form-data"}
    assert body["application/json"]["schema"]["properties"]["source"]["examples"]
    assert "cutout-ended" in document["webhooks"]


def test_a_rendition_is_described(document: dict) -> None:
    body = document["paths"]["/v1/cutouts"]["post"]["requestBody"]["content"]
    shape = {"$ref": "#/components/schemas/Rendition"}
    field = body["application/json"]["schema"]["properties"]["rendition"]
    assert field["$ref"] == shape["$ref"]
    assert document["components"]["schemas"]["Rendition"]["properties"]["format"]
    text = body["multipart/form-data"]["schema"]["properties"]["rendition"]
    assert text["contentSchema"] == shape
    for example in (*field["examples"], *map(json.loads, text["examples"])):
        assert Rendition(**example) != PLAIN


def test_other_methods_are_answered_405(shared: Server, document: dict, ids) -> None:
    for template, path in document["paths"].items():
        url = template.format(**ids)
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "OPTIONS"):
            if method.lower() not in path:
                answer: httpx.Response = shared.client.request(method, url)
                assert_problem(answer, 405, "invalid_request")
                assert answer.headers["allow"].lower().split(", ") == sorted(path), url


def test_the_page_is_served(shared: Server) -> None:
    page = shared.client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert_safe(page)
    assert shared.upload(jpeg()).status_code == 202
