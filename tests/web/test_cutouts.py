"""Cutouts through a real server, a real queue and a real worker with a stand-in network."""

import http.client
import io
import json
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from support.cluster import Cluster
from support.receivers import answer, receiving
from support.services import until
from support.serving import (
    Server,
    assert_problem,
    assert_safe,
    is_cutout,
    jpeg,
    new_key,
    refused_start,
    serving,
    within_one_minute,
)

from contract import names
from producer.web.body_limits import JSON_BYTES

PATIENCE_SECONDS = 10
"""Limit for an answer while Redis is away. An idle machine needs two; without the server's own
limits, a request would wait far longer."""

MAX_BYTES = 2 * 1024**2


@pytest.fixture(scope="module")
def server_settings() -> dict[str, str]:
    return {"CUTOUT_MAX_BYTES": str(MAX_BYTES)}


def test_the_matte_of_a_cutout_is_kept_and_deleted(shared: Server) -> None:
    before = shared.stored()
    recipe = {"renditions": [{"format": "jpg"}], "keep_matte": True}
    done = shared.upload(jpeg(31), wait=30, data={"recipe": json.dumps(recipe)}).json()
    assert [output["name"] for output in done["outputs"]] == ["", "matte"]
    for output, form, mode in zip(done["outputs"], ("JPEG", "PNG"), ("RGB", "L"), strict=True):
        image = shared.client.get(output["image"])
        with Image.open(io.BytesIO(image.content)) as shown:
            assert (shown.format, shown.mode, shown.size) == (form, mode, (160, 120))
    assert done["image"] == done["outputs"][0]["image"]
    assert len(shared.stored()) == len(before) + 3
    assert shared.client.delete(f"/v1/cutouts/{done['id']}").status_code == 204
    assert shared.stored() == before


def test_an_upload_is_cut_out_and_deleted(shared: Server) -> None:
    before = shared.stored()
    created = shared.upload(jpeg())
    assert created.status_code == 202
    assert_safe(created)
    cutout_id = created.json()["id"]
    assert created.headers["location"] == f"/v1/cutouts/{cutout_id}"
    ended = shared.ended(cutout_id)
    assert (ended["status"], ended["width"], ended["height"]) == ("done", 160, 120)
    assert ended["attempts"] == 1
    assert 0 < ended["foreground"] < 1

    image = shared.client.get(ended["image"])
    assert_safe(image)
    assert image.headers["content-type"] == "image/png"
    assert is_cutout(image.content)
    tag = {"If-None-Match": image.headers["etag"]}
    again = shared.client.get(ended["image"], headers=tag)
    assert (again.status_code, again.content) == (304, b"")

    assert len(shared.stored()) == len(before) + 2
    assert shared.client.delete(created.headers["location"]).status_code == 204
    assert shared.stored() == before
    assert_forgotten(shared, cutout_id)
    assert_problem(shared.client.get(created.headers["location"]), 404, "not_found")
    assert_problem(shared.client.get(ended["image"]), 404, "not_found")
    assert_problem(shared.client.delete(created.headers["location"]), 404, "not_found")


def assert_forgotten(server: Server, cutout_id: str) -> None:
    """Assert that of a cutout nothing is stored but that it was deleted."""
    assert server.redis_text().count(cutout_id) == 1
    assert server.cluster.ledger.batches.was_deleted(cutout_id)
    assert not list(server.store.rglob(f"*{cutout_id}*"))


def test_prefer_wait_returns_the_end(shared: Server) -> None:
    done = shared.upload(jpeg(1), wait=30)
    assert (done.status_code, done.json()["status"]) == (200, "done")
    slow = shared.upload(jpeg(2, "slow:2"), wait=1)
    assert slow.status_code == 202
    url = slow.headers["location"]
    assert shared.client.get(url).json()["status"] in {"queued", "working"}
    assert_problem(shared.client.get(f"{url}/image"), 409, "not_ready")
    waited = shared.client.get(url, headers={"Prefer": "respond-async, wait=30"})
    assert waited.json()["status"] == "done"
    for odd in ("wait=x", "wait=²", "wait=", "wait=-1", "wait", ",,="):
        prefer = {"Prefer": odd.encode("latin-1")}
        assert shared.client.get(url, headers=prefer).status_code == 200


def test_waiting_requests_do_not_block_others(shared: Server) -> None:
    slow = shared.upload(jpeg(3, "slow:10")).headers["location"]
    with ThreadPoolExecutor(60) as pool:
        ask = {"url": slow, "headers": {"Prefer": "wait=30"}}
        waiting = [pool.submit(httpx.get, **{**ask, "url": shared.url + slow}, timeout=60)
                   for _ in range(60)]  # fmt: skip
        time.sleep(1)
        assert shared.client.get("/healthz").status_code == 200
        assert not all(one.done() for one in waiting)
        assert {one.result().json()["status"] for one in waiting} == {"done"}


def test_objects_of_a_bucket(shared: Server) -> None:
    bucket = shared.bucket()
    source = shared.put(bucket, "in/a shoe+1.jpg", jpeg(4))
    done = shared.submit(30, source=source, destination=f"s3://{bucket}/out/shoe.png")
    assert done.json()["output"] == f"s3://{bucket}/out/shoe.png", done.text
    assert is_cutout(shared.get(bucket, "out/shoe.png"))
    assert is_cutout(shared.client.get(done.json()["image"]).content)
    shared.client.delete(done.headers["location"])
    assert shared.get(bucket, "in/a shoe+1.jpg")  # the client's own objects are kept
    assert shared.get(bucket, "out/shoe.png")

    missing = shared.submit(30, source=f"s3://{bucket}/in/none.jpg").json()
    assert (missing["status"], missing["code"]) == ("failed", "object_missing")
    assert missing["message"]
    assert missing["next_step"]
    assert_problem(shared.submit(source=source, destination=source), 422, "overlapping_locations")
    for wrong in ("s3://", "s3://bucket", "s3://bucket/", "s3:///key"):
        assert_problem(shared.submit(source=wrong), 422, "invalid_location")
        assert_problem(shared.submit(source=source, destination=wrong), 422, "invalid_location")


@pytest.mark.parametrize(
    ("rendition", "image_format", "mode", "size"),
    [
        ({}, "png", "RGBA", (160, 120)),
        ({"channels": "alpha"}, "png", "L", (160, 120)),
        ({"background": "#f008"}, "png", "RGBA", (160, 120)),
        ({"format": "jpg", "background": "#f00"}, "jpeg", "RGB", (160, 120)),
        ({"format": "jpg", "size": 0.005}, "jpeg", "RGB", (81, 61)),
        ({"scale": 50, "position": [0, 100]}, "png", "RGBA", (160, 120)),
    ],
)
def test_renditions(
    shared: Server, rendition: dict, image_format: str, mode: str, size: tuple[int, int]
) -> None:
    source = shared.put(shared.bucket(), "in/shoe.jpg", jpeg(20))
    named = shared.submit(30, source=source, rendition=rendition)
    sent = shared.upload(jpeg(20), wait=30, data={"rendition": json.dumps(rendition)})
    for done in (named, sent):
        assert done.json()["status"] == "done", done.text
        image = shared.client.get(done.json()["image"])
        assert image.headers["content-type"] == f"image/{image_format}"
        suffix = image_format.replace("jpeg", "jpg")
        assert image.headers["content-disposition"].endswith(f'.{suffix}"')
        assert done.json()["output"].endswith(f".{suffix}")
        with Image.open(io.BytesIO(image.content)) as picture:
            assert (picture.format, picture.mode, picture.size) == (
                image_format.upper(),
                mode,
                size,
            )
        assert (done.json()["width"], done.json()["height"]) == size


TWO = {"renditions": [{"name": "alpha"}, {"name": "thumb", "format": "webp", "max_side": 80}]}


def test_a_recipe_makes_several_outputs(shared: Server) -> None:
    bucket = shared.bucket()
    source = shared.put(bucket, "in/shoe.jpg", jpeg(22))
    named = shared.submit(30, source=source, destination=f"s3://{bucket}/out/a.x", recipe=TWO)
    sent = shared.upload(jpeg(22), wait=30, data={"recipe": json.dumps(TWO)})
    for done in (named, sent):
        assert done.json()["status"] == "done", done.text
        alpha, thumb = done.json()["outputs"]
        assert (alpha["name"], thumb["name"]) == ("alpha", "thumb")
        assert (thumb["width"], thumb["height"]) == (80, 60)
        assert done.json()["output"] == alpha["output"]
        first = shared.client.get(done.json()["image"])
        assert first.content == shared.client.get(alpha["image"]).content
        image = shared.client.get(thumb["image"])
        assert image.headers["content-type"] == "image/webp"
        assert image.headers["content-disposition"].endswith('-thumb.webp"')
        assert len(image.content) == thumb["bytes"]
        path = done.headers["location"] + "/image?rendition=other"
        assert_problem(shared.client.get(path), 404, "not_found")
    assert [each["output"] for each in named.json()["outputs"]] == [
        f"s3://{bucket}/out/a.alpha.png", f"s3://{bucket}/out/a.thumb.webp",
    ]  # fmt: skip
    white = shared.upload(jpeg(22), wait=30, data={"recipe": "mask"}).json()
    assert white["outputs"][0]["image"] == white["image"]

    shared.client.delete(sent.headers["location"])
    assert shared.client.get(thumb["image"]).status_code == 404
    for output in sent.json()["outputs"]:
        assert not Path(output["output"].removeprefix("file://")).exists()


def test_a_rendition_that_fails_leaves_the_others(shared: Server) -> None:
    tight = {"name": "tight", "format": "jpg", "max_bytes": 1000}
    recipe = {"renditions": [tight, {"name": "alpha"}]}
    failed = shared.upload(jpeg(23), wait=30, data={"recipe": json.dumps(recipe)})
    cutout = failed.json()
    assert (cutout["status"], cutout["code"]) == ("failed", "output_too_large")
    assert cutout["message"].startswith("The rendition tight: ")
    assert (cutout["output"], cutout["image"]) == (None, None)
    [alpha] = cutout["outputs"]
    assert is_cutout(shared.client.get(alpha["image"]).content)
    path = f"{failed.headers['location']}/image"
    assert_problem(shared.client.get(path), 409, "not_ready")
    assert_problem(shared.client.get(f"{path}?rendition=tight"), 409, "not_ready")


def test_a_destination_is_used_as_written(shared: Server) -> None:
    bucket = shared.bucket()
    source = shared.put(bucket, "in/shoe.jpg", jpeg(21))
    rendition = {"format": "jpg", "crop": True, "crop_margin": ["10%", "0", "10px", "0"]}
    done = shared.submit(
        30, source=source, destination=f"s3://{bucket}/out/shoe.picture", rendition=rendition
    )
    assert done.json()["output"] == f"s3://{bucket}/out/shoe.picture", done.text
    with Image.open(io.BytesIO(shared.get(bucket, "out/shoe.picture"))) as picture:
        assert picture.format == "JPEG"
        assert picture.size == (done.json()["width"], done.json()["height"])


@pytest.mark.parametrize(
    ("rendition", "field"),
    [
        ({"format": "tiff"}, "rendition.format"),
        ({"format": "jpg", "channels": "alpha"}, "rendition.channels"),
        ({"background": "white"}, "rendition.background"),
        ({"scale": "50"}, "rendition.scale"),
        ({"size": True}, "rendition.size"),
        ({"crop": 1}, "rendition.crop"),
        ({"crop": True, "crop_margin": ["5%"]}, "rendition.crop_margin.1"),
        ({"quality": 90}, "rendition.quality"),
        ({"canvas": "square"}, "rendition.canvas"),
        ("jpg", "rendition"),
        (None, "rendition"),
    ],
)
def test_an_invalid_rendition_is_refused_by_its_field(
    shared: Server, rendition: object, field: str
) -> None:
    named = shared.submit(source="s3://b/k.jpg", rendition=rendition)
    sent = shared.upload(jpeg(), data={"rendition": json.dumps(rendition)})
    for refused in (named, sent):
        error = assert_problem(refused, 422, "invalid_request")
        assert error["detail"].startswith(f"{field}: ")
        assert "Value error" not in error["detail"]


@pytest.mark.parametrize("text", ["", "{", "jpg", "NaN", "[" * 500, '{"size": 1e999}', '"\\ud800"'])
def test_a_rendition_that_is_not_json(shared: Server, text: str) -> None:
    error = assert_problem(shared.upload(jpeg(), data={"rendition": text}), 422, "invalid_request")
    assert error["detail"].startswith("rendition")


def test_a_photograph_behind_https(shared: Server) -> None:
    with receiving(answer(200, jpeg(5)), context=shared.tls) as host:
        url = host.url("/shoe.jpg?signature=sesame")
        done = shared.submit(30, source=url)
        assert done.json()["status"] == "done", done.text
        assert is_cutout(shared.client.get(done.json()["image"]).content)
        assert "sesame" not in done.text
        assert host.requests[0].path == "/shoe.jpg?signature=sesame"
    with receiving(answer(404), context=shared.tls) as host:
        failed = shared.submit(30, source=host.url()).json()
    assert (failed["status"], failed["code"]) == ("failed", "url_failed")


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"", "empty_file"), (b"<html>", "not_an_image"), (jpeg.__doc__.encode(), "not_an_image")],
)
def test_other_files_fail_by_name(shared: Server, data: bytes, code: str) -> None:
    failed = shared.upload(data, wait=30)
    assert failed.status_code == 200
    assert (failed.json()["status"], failed.json()["code"]) == ("failed", code)
    assert failed.json()["next_step"]
    assert_problem(shared.client.get(f"{failed.headers['location']}/image"), 409, "not_ready")


def test_a_photograph_that_breaks_off_fails_by_name(shared: Server) -> None:
    failed = shared.upload(jpeg(6)[:2000], wait=30).json()
    assert (failed["status"], failed["code"]) == ("failed", "truncated_image")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_request"),
        (b"{", "invalid_request"),
        (b"[]", "invalid_request"),
        (b'{"source": 1}', "invalid_request"),
        (b'{"source": "s3://b/k.jpg", "more": 1}', "invalid_request"),
        (b'{"source": "s3://b/k.jpg", "model": "none"}', "model_unknown"),
        (b'{"source": "upload"}', "url_refused"),
        (b'{"source": "/etc/passwd"}', "url_refused"),
        (b'{"source": "file:///etc/passwd"}', "url_refused"),
    ],
)
def test_invalid_requests_are_refused(shared: Server, body: bytes, code: str) -> None:
    headers = {"Content-Type": "application/json"}
    error = assert_problem(
        shared.client.post("/v1/cutouts", content=body, headers=headers), 422, code
    )
    if code == "invalid_request":
        assert "/openapi.json" in error["next_step"]


def test_other_content_types_and_addresses_are_problems_too(shared: Server) -> None:
    client = shared.client
    assert_problem(client.post("/v1/cutouts", content=b"x"), 422, "invalid_request")
    assert_problem(client.post("/v1/cutouts", data={"model": "u2netp"}), 422, "invalid_request")
    broken = {"Content-Type": "multipart/form-data"}
    assert_problem(client.post("/v1/cutouts", content=b"x", headers=broken), 422, "invalid_request")
    assert_problem(client.get("/v1/none"), 404, "not_found")
    assert_problem(client.get("/docs"), 404, "not_found")
    assert_problem(client.put("/v1/cutouts"), 405, "invalid_request")
    assert_problem(
        client.request("OPTIONS", "/v1/cutouts", headers={"Origin": "https://x"}),
        405,
        "invalid_request",
    )
    for hostile in ("c-1:settled", "x", "c-20250101-000000-abcdef:settled", "%00", "c" * 3000):
        assert_problem(client.get(f"/v1/cutouts/{hostile}"), 404, "not_found")
    assert_safe(client.get("/", headers={"Origin": "https://elsewhere.example"}))
    assert_safe(client.get("/openapi.json"))


def test_a_body_over_the_limit_is_not_read(shared: Server) -> None:
    assert_problem(shared.upload(b"x" * (MAX_BYTES + JSON_BYTES)), 413, "too_many_bytes")
    sent = 0

    def endless():
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        while sent < 200 * 1024**2:
            sent += 1 << 16
            yield b"x" * (1 << 16)

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    try:
        refused = shared.client.post("/v1/cutouts", content=endless(), headers=headers)
        assert_problem(refused, 413, "too_many_bytes")
    except httpx.TransportError:  # the server closed the connection
        pass
    assert sent < 50 * 1024**2
    json = {"Content-Type": "application/json"}
    for path in ("/v1/cutouts", "/v1/batches", "/v1/events/s3"):
        body = b'"' + b"x" * (JSON_BYTES + 1) + b'"'
        assert_problem(shared.client.post(path, content=body, headers=json), 413, "too_many_bytes")
    shared.assert_works()


def test_one_idempotency_key_is_one_image(shared: Server) -> None:
    key = {"Idempotency-Key": "order 1"}
    first = shared.upload(jpeg(7), headers=key)
    assert shared.upload(jpeg(7), headers=key).json()["id"] == first.json()["id"]
    assert_problem(shared.upload(jpeg(8), headers=key), 422, "idempotency_conflict")
    for field in ({"destination": "s3://b/x.png"}, {"rendition": '{"format": "jpg"}'}):
        other = shared.upload(jpeg(7), headers=key, data=field)
        assert_problem(other, 422, "idempotency_conflict")
    plain = shared.upload(jpeg(7), headers=key, data={"rendition": '{"format": "png"}'})
    assert plain.json()["id"] == first.json()["id"]
    shared.ended(first.json()["id"])
    shared.client.delete(first.headers["location"])

    refused = {"Idempotency-Key": "order 2"}
    assert_problem(
        shared.upload(jpeg(7), headers=refused, data={"model": "x"}), 422, "model_unknown"
    )
    assert_problem(
        shared.upload(jpeg(7), headers=refused, data={"model": "x"}), 422, "model_unknown"
    )
    assert shared.upload(jpeg(7), headers=refused).status_code == 202


def test_a_key_is_free_again_once_its_image_is_deleted(shared: Server) -> None:
    key, photograph = {"Idempotency-Key": "order 4"}, jpeg(8)
    first = shared.upload(photograph, headers=key, wait=30).json()["id"]
    assert shared.client.delete(f"/v1/cutouts/{first}").status_code == 204
    with ThreadPoolExecutor(20) as pool:
        again = list(pool.map(lambda _: shared.upload(photograph, headers=key, wait=30), range(20)))
    assert {one.json()["status"] for one in again} == {"done"}
    (second,) = {one.json()["id"] for one in again}
    assert second != first


def test_the_key_of_a_cutout_that_failed_brings_another(shared: Server) -> None:
    bucket = shared.bucket()
    source = f"s3://{bucket}/late/a.jpg"

    def post() -> dict[str, Any]:
        headers, body = {"Idempotency-Key": "order 5", "Prefer": "wait=30"}, {"source": source}
        return shared.client.post("/v1/cutouts", json=body, headers=headers).json()

    failed = post()
    assert (failed["status"], failed["code"]) == ("failed", "object_missing")
    shared.put(bucket, "late/a.jpg", jpeg())
    done = post()
    assert done["status"] == "done"
    assert done["id"] != failed["id"]
    assert post()["id"] == done["id"]


def test_a_cutout_without_a_worker_says_so(shared: Server) -> None:
    waiting = shared.upload(jpeg(9), data={"model": "u2net"}).headers["location"]
    message = until(lambda: shared.client.get(waiting).json()["message"])
    assert message == "No worker serves u2net."
    assert shared.client.delete(waiting).status_code == 204


def test_a_form_brings_the_file_itself(shared: Server) -> None:
    both = shared.upload(jpeg(), data={"source": "s3://bucket/a.jpg"})
    assert "JSON" in assert_problem(both, 422, "invalid_request")["detail"]


def test_fifty_at_once_with_one_key_are_one_image(shared: Server) -> None:
    body, before = jpeg(9), set(shared.stored())
    key = {"Idempotency-Key": "order 3"}

    def ask(_: int) -> httpx.Response:
        files = {"image": ("a.jpg", body)}
        return httpx.post(f"{shared.url}/v1/cutouts", files=files, headers=key, timeout=60)

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(ask, range(50)))
    assert {one.status_code for one in answers} <= {200, 202}, {one.text for one in answers}
    (cutout_id,) = {one.json()["id"] for one in answers}
    uploads = {name for name in shared.stored() if name.startswith("uploads/")}
    assert uploads - before == {f"uploads/{cutout_id}.jpg"}


def test_cutouts_are_not_listed_as_batches(shared: Server) -> None:
    done = shared.upload(jpeg(), wait=30).json()
    assert done["id"] not in shared.client.get("/v1/batches").text
    assert_problem(shared.client.get(f"/v1/batches/{done['id']}"), 404, "batch_unknown")
    assert done["id"] not in shared.cluster.ledger.batches.ids()  # what `cutout status` lists
    assert shared.client.get("/v1/models").json() == {"models": ["u2netp"], "default": "u2netp"}


# what needs a server of its own


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel", "retry", "watch", "report", "audit"])
def test_the_verbs_for_batches_refuse_a_cutout(shared: Server, verb: str) -> None:
    cutout_id = shared.upload(jpeg(10), wait=30).json()["id"]
    answer = subprocess.run(
        [sys.executable, "-m", "producer", verb, cutout_id], env=shared.cluster.environment(),
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert answer.returncode == 1
    assert "is a cutout" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_full_queue_refuses_for_a_while(quick_cluster: Cluster, tmp_path) -> None:
    with serving(quick_cluster, tmp_path, CUTOUT_MAX_QUEUED="2") as server:
        assert [server.upload(jpeg()).status_code for _ in range(2)] == [202, 202]
        before = server.stored()
        assert_problem(server.upload(jpeg()), 429, "queue_full")
        assert server.stored() == before
        server.work()
        until(lambda: server.upload(jpeg()).status_code == 202)


def test_keys(quick_cluster: Cluster, tmp_path) -> None:
    sentence = refused_start(quick_cluster, tmp_path, CUTOUT_WEB_ADDRESS="192.0.2.1")
    assert "CUTOUT_API_KEYS must be set" in sentence
    assert "Traceback" not in sentence
    assert "cannot be read" in refused_start(quick_cluster, tmp_path, CUTOUT_API_KEYS="/none")

    path = tmp_path / "keys"
    submit = new_key(quick_cluster, path, "shop", "submit")
    read = new_key(quick_cluster, path, "page", "read")
    admin = new_key(quick_cluster, path, "boss", "admin")
    assert path.stat().st_mode & 0o777 == 0o600
    assert not any(key in path.read_text() for key in (submit, read, admin))
    settings = {"CUTOUT_API_KEYS": str(path), "CUTOUT_RATE_LIMIT_PER_MINUTE": "8"}
    with serving(quick_cluster, tmp_path, **settings) as server:
        get, post = server.client.get, server.client.post
        unknown = assert_problem(get("/v1/batches"), 401, "invalid_api_key")
        assert "Bearer" in unknown["next_step"]
        assert get("/v1/batches").headers["www-authenticate"] == "Bearer"
        for wrong in ("Bearer cut_wrong", f"Basic {read}", f"Bearer{read}", "Bearer", "Bearer é"):
            headers = {"Authorization": wrong.encode("latin-1")}
            assert_problem(get("/v1/batches", headers=headers), 401, "invalid_api_key")
        bearer = {"Authorization": f"Bearer {read}"}
        assert get("/v1/batches", headers=bearer).status_code == 200
        assert get("/v1/batches", headers={"X-API-Key": read}).status_code == 200
        assert_problem(post("/v1/batches/b-1/pause", headers=bearer), 403, "insufficient_scope")
        assert_problem(server.upload(jpeg(), headers=bearer), 403, "insufficient_scope")
        wanted = {"X-API-Key": submit}
        assert server.upload(jpeg(), headers=wanted).status_code == 202
        assert_problem(get("/v1/batches", headers=wanted), 403, "insufficient_scope")
        within_one_minute()
        answers = [get("/v1/models", headers=bearer) for _ in range(9)]
        assert_problem(answers[-1], 429, "too_many_requests")
        assert get("/v1/models", headers={"X-API-Key": admin}).status_code == 403
        assert get("/healthz").status_code == 200
        said = server.cluster.log("serve") + server.redis_text()
    assert not any(key in said for key in (submit, read, admin))


def _measured(server: Server) -> float:
    """Return the seconds that the slowest refusal took."""
    longest = 0.0
    for ask in (
        lambda: server.upload(jpeg()),
        lambda: server.client.get("/v1/cutouts/c-20250101-000000-abcdef"),
        lambda: server.client.get("/v1/batches"),
        lambda: server.client.get("/healthz"),
    ):
        began = time.monotonic()
        assert_problem(ask(), 503, "redis_unavailable")
        longest = max(longest, time.monotonic() - began)
    return longest


def test_redis_is_away_or_does_not_answer(server: Server) -> None:
    server.assert_works()
    redis = server.cluster.redis
    redis.stop(signal.SIGKILL)
    assert _measured(server) < PATIENCE_SECONDS
    said = [line for line in server.cluster.log("serve").splitlines() if "/v1/batches" in line]
    assert "redis_unavailable" in said[-1], said
    assert "Redis did not answer" in said[-1], said
    redis.start()
    until(lambda: server.client.get("/healthz").status_code == 200)
    until(lambda: server.upload(jpeg()).status_code == 202)
    server.assert_works()
    redis.process.send_signal(signal.SIGSTOP)
    try:
        longest = _measured(server)
    finally:
        redis.process.send_signal(signal.SIGCONT)
    assert longest < PATIENCE_SECONDS
    server.assert_works()


def outcomes(server: Server, cutout_id: str) -> int:
    lines = server.cluster.log("worker").splitlines()
    return sum(cutout_id in line and "image settled" in line for line in lines)


QUICK = {"CUTOUT_VISIBILITY_TIMEOUT": "8", "CUTOUT_TIME_LIMIT": "6"}


def test_a_worker_is_killed_while_it_processes_the_image(quick_cluster: Cluster, tmp_path) -> None:
    quick_cluster.env.update(QUICK)
    with serving(quick_cluster, tmp_path) as server:
        server.work()
        server.assert_works()
        cutout_id = server.upload(jpeg(1, "slow:1.5")).json()["id"]
        until(lambda: server.cluster.ledger.batches.progress(cutout_id).claimed, pause=0.02)
        server.cluster.kill("worker")
        server.cluster.start_worker(1, "second")
        done = server.ended(cutout_id)
        assert (done["status"], done["attempts"]) == ("done", 2)
        progress = server.cluster.ledger.batches.progress(cutout_id)
        assert (progress.done, progress.failed, progress.settled) == (1, 0, 1)
        assert is_cutout(server.client.get(done["image"]).content)


def test_redis_is_killed_while_images_are_processed(server: Server) -> None:
    server.assert_works()
    images = [server.upload(jpeg(n, "slow:1")).json()["id"] for n in range(3)]
    server.cluster.redis.stop(signal.SIGKILL)
    time.sleep(1)
    server.cluster.redis.start()
    for cutout_id in images:
        assert server.ended(cutout_id, 120)["status"] == "done"
        progress = server.cluster.ledger.batches.progress(cutout_id)
        assert (progress.done, progress.failed, progress.settled) == (1, 0, 1)
        assert outcomes(server, cutout_id) == 1


def test_a_message_is_lost(quick_cluster: Cluster, tmp_path) -> None:
    quick_cluster.env.update(QUICK)
    with serving(quick_cluster, tmp_path) as server:
        cutout_id = server.upload(jpeg()).json()["id"]
        assert server.cluster.ledger.connection.client.lpop(names.interactive_queue("u2netp"))
        server.work()
        assert server.ended(cutout_id)["status"] == "done"
        assert server.cluster.ledger.batches.progress(cutout_id).settled == 1


def test_a_server_dies_before_it_publishes_the_job(server: Server) -> None:
    """The cutout is registered and open, but not issued: the dispatcher issues it."""
    done = server.upload(jpeg(), wait=30).json()
    spec = server.cluster.ledger.batches.progress(done["id"]).spec
    spec = spec.model_copy(update={"id": "c-20250101-000000-abcdefabcdef"})
    assert server.cluster.ledger.cutouts.register(spec)
    assert server.ended(spec.id)["status"] == "done"


def test_an_image_that_ends_its_process_is_poisoned(server: Server) -> None:
    server.cluster.start_quarantine()
    cutout_id = server.upload(jpeg(1, "segfault")).json()["id"]
    failed = server.ended(cutout_id, 120)
    assert (failed["status"], failed["code"], failed["attempts"]) == ("failed", "poisoned", 3)
    assert "SIGSEGV" in failed["message"]
    assert failed["next_step"]
    server.assert_works()


def test_an_image_is_deleted_while_it_is_cut_out(server: Server) -> None:
    server.assert_works()
    before = server.stored()
    created = server.upload(jpeg(1, "slow:2"))
    until(lambda: server.cluster.ledger.batches.progress(created.json()["id"]).claimed, pause=0.02)
    assert server.client.delete(created.headers["location"]).status_code == 204
    # the photograph may be deleted before the worker has read it
    ends = "nothing to do", "object_missing"
    until(lambda: any(end in server.cluster.log("worker") for end in ends))
    server.assert_works()
    assert server.stored() == before
    assert_forgotten(server, created.json()["id"])


def test_a_larger_picture_keeps_its_size(shared: Server) -> None:
    done = shared.upload(jpeg(1, size=(640, 480)), wait=30).json()
    image = shared.client.get(done["image"])
    assert is_cutout(image.content, (640, 480))
    with Image.open(io.BytesIO(image.content)) as picture:
        picture.load()
    shown = image.headers["content-disposition"]
    assert re.fullmatch(r'attachment; filename="c-[0-9a-f-]+\.png"', shown)


def test_a_header_that_is_too_long_is_refused(shared: Server) -> None:
    link = http.client.HTTPConnection("127.0.0.1", shared.port, timeout=10)
    link.request("GET", "/healthz", headers={"X-Long": "x" * 200_000})
    assert link.getresponse().status in {400, 431}
    shared.assert_works()
