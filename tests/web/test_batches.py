"""Catalogues through the API, from bucket to bucket of an S3 server."""

import csv
import io
import json
import subprocess
import sys
import time

import pytest
from support.receivers import answer, receiving
from support.services import until
from support.serving import SECRET, Server, assert_problem, jpeg

from producer.callbacks.signatures import verify

S3 = "rclone"


@pytest.fixture
def locations(shared: Server) -> dict[str, str]:
    bucket = shared.bucket()
    for number in range(4):
        shared.put(bucket, f"in/{number}.jpg", jpeg(number))
    shared.put(bucket, "in/notes.txt", b"not a photograph")
    return {"source": f"s3://{bucket}/in", "destination": f"s3://{bucket}/out"}


def create(shared: Server, locations: dict[str, str], **more) -> str:
    answer = shared.client.post("/v1/batches", json={**locations, **more})
    assert answer.status_code == 202, answer.text
    batch = answer.json()
    assert answer.headers["location"] == f"/v1/batches/{batch['id']}"
    assert batch["source"] == locations["source"]
    return batch["id"]


def in_state(shared: Server, batch: str, state: str) -> dict:
    def once_in_state() -> dict | None:
        answer = shared.client.get(f"/v1/batches/{batch}").json()
        assert {answer["state"], state} != {"failed", "closed"}, answer["stalled_reason"]
        return answer if answer["state"] == state else None

    return until(once_in_state)


def bucket_of(locations: dict[str, str]) -> str:
    return locations["source"].split("/")[2]


def test_a_catalogue_from_bucket_to_bucket(shared: Server, locations) -> None:
    shared.put(bucket_of(locations), "in/bad.jpg", b"<html>")
    batch = create(shared, locations, model="u2netp")
    closed = in_state(shared, batch, "closed")
    counts = {name: closed[name] for name in ("total", "done", "skipped", "failed", "ignored")}
    assert counts == {"total": 5, "done": 4, "skipped": 0, "failed": 1, "ignored": 1}
    assert shared.get(bucket_of(locations), "out/3.png").startswith(b"\x89PNG")
    listed = shared.client.get("/v1/batches").json()["batches"]
    assert batch in [row["id"] for row in listed]

    (failure,) = shared.client.get(f"/v1/batches/{batch}/failures").json()["failures"]
    assert (failure["key"], failure["code"]) == ("bad.jpg", "not_an_image")
    assert failure["next_step"]
    photograph = shared.client.get(f"/v1/batches/{batch}/photographs/{failure['line']}")
    assert photograph.content == b"<html>"
    assert photograph.headers["content-type"] == "application/octet-stream"
    assert photograph.headers["content-security-policy"] == "sandbox"
    assert photograph.headers["x-content-type-options"] == "nosniff"
    for line in (-1, 5, 10**9):
        url = f"/v1/batches/{batch}/photographs/{line}"
        assert_problem(shared.client.get(url), 404, "not_found")

    table = shared.client.get(f"/v1/batches/{batch}/report")
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert {row["key"]: row["code"] for row in rows}["bad.jpg"] == "not_an_image"
    lines = shared.client.get(f"/v1/batches/{batch}/report", params={"format": "jsonl"})
    assert lines.headers["content-type"] == "application/x-ndjson"
    assert len([json.loads(line) for line in lines.text.splitlines()]) == 5

    shared.put(bucket_of(locations), "in/bad.jpg", jpeg(9))
    retried = shared.client.post(f"/v1/batches/{batch}/retry", json={"code": "not_an_image"})
    assert retried.json() == {"reopened": 1}
    assert in_state(shared, batch, "closed")["done"] == 5
    assert shared.client.post(f"/v1/batches/{batch}/retry").json() == {"reopened": 0}
    never = shared.client.post(f"/v1/batches/{batch}/retry", json={"code": "unsafe_key"})
    assert_problem(never, 409, "batch_conflict")

    again = in_state(shared, create(shared, locations), "closed")
    assert (again["done"], again["skipped"]) == (0, 5)
    forced = in_state(shared, create(shared, locations, force=True), "closed")
    assert (forced["done"], forced["skipped"]) == (5, 0)


def test_a_batch_is_sent_to_its_callback_as_the_document_says(shared: Server, locations) -> None:
    with receiving(answer(204), context=shared.tls) as receiver:
        batch = create(shared, locations, callback_url=receiver.url("/hook?token=sesame"))
        until(lambda: receiver.requests)
    (request,) = receiver.requests
    assert verify(request.headers, request.body, [SECRET], time.time()) == f"{batch}:0"
    received = json.loads(request.body)
    assert received == shared.client.get(f"/v1/batches/{batch}").json()
    assert received["state"] == "closed"
    assert "sesame" not in shared.redis_text()
    assert "sesame" not in shared.cluster.log("dispatcher")
    schema = shared.client.get("/openapi.json").json()
    body = schema["webhooks"]["batch-closed"]["post"]["requestBody"]["content"]
    assert body["application/json"]["schema"] == {"$ref": "#/components/schemas/Batch"}
    assert received.keys() == schema["components"]["schemas"]["Batch"]["properties"].keys()


def test_a_batch_that_cannot_be_listed_is_sent_to_its_callback(shared: Server, locations) -> None:
    with receiving(answer(204), context=shared.tls) as receiver:
        body = locations | {"source": "s3://no-such-bucket/in", "callback_url": receiver.url()}
        batch = create(shared, body)
        until(lambda: receiver.requests)
    received = json.loads(receiver.requests[0].body)
    assert (received["id"], received["state"]) == (batch, "failed")
    assert received["stalled_reason"].startswith("object_missing: ")


def test_a_batch_waits_for_its_start(shared: Server, locations) -> None:
    schedule = {"not_before": "2100-01-01T22:00:00+01:00", "deadline": "2100-01-02T06:00:00+01:00"}
    batch = create(shared, locations, schedule=schedule)
    url = f"/v1/batches/{batch}"

    def waiting() -> dict | None:
        answer = shared.client.get(url).json()
        return answer if answer["stalled_reason"] else None

    shown = until(waiting)
    assert shown["stalled_reason"] == "Starts at 2100-01-01 21:00 UTC, as its schedule says."
    assert (shown["issued"], shown["late"], shown["eta"]) == (0, False, None)
    assert shown["schedule"] == {"priority": 0, "weight": 1, "cap": None, **schedule}

    wrong = shared.client.patch(f"{url}/schedule", json={"not_before": schedule["deadline"]})
    assert_problem(wrong, 422, "invalid_schedule")
    assert_problem(shared.client.patch(f"{url}/schedule", json={"x": 1}), 422, "invalid_request")
    changes = {"not_before": None, "priority": 5, "cap": 2}
    changed = shared.client.patch(f"{url}/schedule", json=changes)
    assert changed.json()["schedule"] == shown["schedule"] | changes
    in_state(shared, batch, "closed")
    closed = shared.client.patch(f"{url}/schedule", json={"deadline": None})
    assert_problem(closed, 409, "batch_conflict")


def test_pause_resume_cancel(shared: Server, locations) -> None:
    for number in range(30):
        shared.put(bucket_of(locations), f"in/slow {number:02}.jpg", jpeg(number, "slow:0.5"))
    batch = create(shared, locations)
    in_state(shared, batch, "open")
    url = f"/v1/batches/{batch}"
    assert_problem(shared.client.post(f"{url}/resume"), 409, "batch_conflict")
    assert_problem(shared.client.get(f"{url}/report"), 409, "not_ready")
    assert shared.client.post(f"{url}/pause").json()["state"] == "paused"
    assert "Paused by" in shared.client.get(url).json()["stalled_reason"]
    assert shared.client.post(f"{url}/resume").json()["state"] == "open"
    assert shared.client.post(f"{url}/cancel").json()["state"] in {"cancelling", "closed"}
    closed = in_state(shared, batch, "closed")
    assert closed["done"] + closed["failed"] == closed["total"] == 34
    assert closed["failed"]
    some = shared.client.get(f"{url}/failures", params={"limit": 2}).json()["failures"]
    assert [row["code"] for row in some] == ["cancelled", "cancelled"]
    for verb in ("pause", "resume", "cancel"):
        assert_problem(shared.client.post(f"{url}/{verb}"), 409, "batch_conflict")


def test_invalid_batches_are_refused(shared: Server, locations) -> None:
    def assert_refused(status: int, code: str, **body) -> None:
        assert_problem(shared.client.post("/v1/batches", json={**locations, **body}), status, code)

    assert_refused(422, "overlapping_locations", destination=locations["source"])
    assert_refused(422, "overlapping_locations", destination=f"s3://{bucket_of(locations)}")
    assert_refused(422, "model_unknown", model="none")
    assert_refused(422, "url_refused", callback_url="https://10.0.0.1/")
    assert_refused(422, "invalid_request", schedule={"not_before": "22:00"})
    assert_refused(422, "invalid_request", source="/etc")
    assert_refused(422, "invalid_request", source="file:///etc")
    assert_refused(422, "invalid_location", source="s3:///etc")
    assert_refused(422, "invalid_request", more=1)
    assert_refused(422, "invalid_request", manifest="/etc/passwd")
    assert_refused(422, "invalid_request", manifest="-")
    assert_refused(422, "invalid_request", limit=0)
    assert_refused(422, "invalid_request", include=["x" * 2000])
    assert_refused(422, "invalid_request", since="yesterday")
    assert_refused(422, "unsafe_key", manifest=f"s3://{bucket_of(locations)}/../list.csv")
    assert_refused(422, "unsafe_key", source=f"s3://{bucket_of(locations)}/../other")
    assert_refused(422, "unsafe_key", destination=f"s3://{bucket_of(locations)}/in/../../other")
    for unknown in ("b-20250101-000000-abcdef", "b-1", "x:settled"):
        for verb in ("", "/failures", "/report", "/photographs/0"):
            answer = shared.client.get(f"/v1/batches/{unknown}{verb}")
            assert_problem(answer, 404, "batch_unknown")
        for verb in ("pause", "resume", "cancel", "retry"):
            assert_problem(
                shared.client.post(f"/v1/batches/{unknown}/{verb}"), 404, "batch_unknown"
            )
    assert_problem(
        shared.client.get("/v1/batches/b-1/failures", params={"limit": 0}), 422, "invalid_request"
    )
    assert_problem(
        shared.client.get("/v1/batches/b-1/report", params={"format": "x"}), 422, "invalid_request"
    )


def test_a_source_that_cannot_be_listed_fails_with_a_reason(shared: Server, locations) -> None:
    def reason(**body) -> str:
        batch = create_any(shared, {**locations, **body})
        failed = in_state(shared, batch, "failed")
        assert failed["total"] == 0
        assert failed["closed"]
        url = f"/v1/batches/{batch}"
        assert shared.client.get(f"{url}/failures").json() == {"failures": []}
        assert_problem(shared.client.get(f"{url}/report"), 409, "not_ready")
        assert_problem(shared.client.get(f"{url}/photographs/0"), 404, "not_found")
        for verb in ("pause", "resume", "cancel"):
            assert_problem(shared.client.post(f"{url}/{verb}"), 409, "batch_conflict")
        return failed["stalled_reason"]

    bucket = bucket_of(locations)
    assert "nothing_to_do" in reason(source=f"s3://{bucket}/empty")
    assert "object_missing" in reason(source="s3://no-such-bucket/in")
    assert "object_missing" in reason(manifest=f"s3://{bucket}/none.csv")
    shared.put(bucket, "bad.csv", b"key,size\n1.jpg,many\n")
    bad = reason(manifest=f"s3://{bucket}/bad.csv")
    assert "bad.csv: line 2: the size is not a number of bytes." in bad
    assert "invalid_manifest" in bad


def create_any(shared: Server, body: dict) -> str:
    answer = shared.client.post("/v1/batches", json=body)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def test_the_same_request_twice_is_one_batch(shared: Server, locations) -> None:
    headers = {"Idempotency-Key": f"spring {locations['source']}"}

    def post(**more):
        return shared.client.post("/v1/batches", json={**locations, **more}, headers=headers)

    first = post().json()["id"]
    in_state(shared, first, "closed")
    again = post()
    assert (again.status_code, again.json()["id"], again.json()["done"]) == (202, first, 4)
    assert_problem(post(force=True), 422, "idempotency_conflict")
    assert create(shared, locations) != first


def test_the_key_of_a_batch_that_was_not_listed_brings_another(shared: Server, locations) -> None:
    headers = {"Idempotency-Key": f"autumn {locations['source']}"}
    body = {**locations, "source": f"{locations['source']}/late"}

    def post() -> str:
        return shared.client.post("/v1/batches", json=body, headers=headers).json()["id"]

    failed = post()
    assert in_state(shared, failed, "failed")["stalled_reason"].startswith("nothing_to_do")
    shared.put(bucket_of(locations), "in/late/a.jpg", jpeg())
    again = post()
    assert again != failed
    assert in_state(shared, again, "closed")["done"] == 1
    assert post() == again


def test_a_batch_of_some_photographs(shared: Server, locations) -> None:
    bucket = bucket_of(locations)
    one = create_any(shared, {**locations, "source": f"{locations['source']}/1.jpg"})
    closed = in_state(shared, one, "closed")
    assert (closed["source"], closed["total"], closed["done"]) == (locations["source"], 1, 1)
    manifest = shared.put(bucket, "list.jsonl", b'{"key": "0.jpg"}\n{"key": "1.jpg"}\n')
    two = in_state(shared, create_any(shared, {**locations, "manifest": manifest}), "closed")
    # the list has no ETags: the worker looks up that of the photograph whose output exists
    assert (two["total"], two["done"], two["skipped"]) == (2, 1, 1)
    some = {
        "include": ["*.jpg"],
        "exclude": ["3*"],
        "only_changed": True,
        "since": "2020-01-01T00:00Z",
    }
    rest = in_state(shared, create_any(shared, {**locations, **some}), "closed")
    assert (rest["total"], rest["done"], rest["excluded"], rest["ignored"]) == (1, 1, 3, 1)
    limited = in_state(shared, create_any(shared, {**locations, "limit": 3, "sample": 4}), "closed")
    assert (limited["total"], limited["skipped"], limited["excluded"]) == (3, 3, 1)


def test_a_batch_with_several_renditions(shared: Server, locations) -> None:
    recipe = {
        "model": "u2netp",
        "keep_matte": True,
        "renditions": [
            {"name": "alpha"},
            {"name": "shop", "format": "jpg", "max_side": 80, "key": "shop/{dir}/{stem}.{ext}"},
            {"name": "amazon", "format": "jpg", "verify": "amazon-main"},
        ],
        "policy": {"preset_failed": "review"},
    }
    bucket = bucket_of(locations)
    batch = create(shared, locations, recipe=recipe)
    closed = in_state(shared, batch, "closed")
    assert (closed["done"], closed["failed"]) == (4, 0)
    table = shared.client.get(f"/v1/batches/{batch}/report").text
    row = {row["key"]: row for row in csv.DictReader(io.StringIO(table))}["2.jpg"]
    keys = ["2.alpha.png", "shop/2.jpg", "_review/2.amazon.jpg", "2.matte.png"]
    assert row["outputs"].split(";") == keys
    assert row["review"] == "amazon:preset_failed"
    formats = [b"\x89PNG", b"\xff\xd8\xff", b"\xff\xd8\xff", b"\x89PNG"]
    for key, begin in zip(keys, formats, strict=True):
        assert shared.get(bucket, f"out/{key}").startswith(begin)
    findings = audited(shared, batch)
    assert (findings.returncode, json.loads(findings.stdout.splitlines()[-1])["findings"]) == (0, 0)

    again = in_state(shared, create(shared, locations, recipe=recipe), "closed")
    assert (again["done"], again["skipped"]) == (0, 4)
    one_more = [*recipe["renditions"], {"name": "thumb", "format": "webp", "max_side": 20}]
    more = create(shared, locations, recipe=recipe | {"renditions": one_more})
    assert in_state(shared, more, "closed")["done"] == 4
    assert shared.get(bucket, "out/2.thumb.webp").startswith(b"RIFF")

    both = {"name": "alpha", "key": "{stem}.x.{ext}"}
    twice = shared.client.post(
        "/v1/batches", json={**locations, "recipe": {"renditions": [both, both]}}
    )
    assert_problem(twice, 422, "invalid_request")
    assert "two renditions have the same name" in twice.json()["detail"]


def audited(shared: Server, batch: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "producer", "audit", batch, "--json"]
    env = shared.cluster.environment()
    return subprocess.run(command, check=False, capture_output=True, text=True, env=env)
