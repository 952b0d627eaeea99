"""Callbacks of cutouts, from outcome to receiver, and that only the receiver sees their URLs."""

import json
import time

import httpx
import pytest
from support.cluster import Cluster
from support.receivers import answer, receiving
from support.services import free_port, until
from support.serving import SECRET, Server, assert_problem, jpeg, serving

from producer.callbacks.signatures import verify

QUERY = "signature=sesame"


def verified(request) -> dict:
    assert verify(request.headers, request.body, [SECRET], time.time())
    return json.loads(request.body)


def assert_no_secrets(server: Server) -> None:
    text = server.redis_text()
    for log in server.cluster.folder.glob("*.log"):
        text += log.read_text()
    assert "sesame" not in text
    assert SECRET not in text


def test_a_callback_is_sent_once_signed_and_as_the_document_says(shared: Server) -> None:
    with receiving(answer(204), context=shared.tls) as receiver:
        url = receiver.url(f"/hook?{QUERY}")
        created = shared.upload(jpeg(), data={"callback_url": url}).json()
        until(lambda: receiver.requests)
        received = verified(receiver.requests[0])
        assert received == shared.client.get(f"/v1/cutouts/{created['id']}").json()
        assert received["status"] == "done"
        assert receiver.requests[0].path == f"/hook?{QUERY}"
        assert receiver.requests[0].headers["webhook-id"] == created["id"]
        assert receiver.requests[0].headers["content-type"] == "application/json"

        bad = shared.upload(b"<html>", data={"callback_url": url}).json()
        until(lambda: len(receiver.requests) == 2)
        received = verified(receiver.requests[1])
        assert (received["id"], received["status"]) == (bad["id"], "failed")
        assert received["code"] == "not_an_image"
        time.sleep(1)
        assert len(receiver.requests) == 2
    schema = shared.client.get("/openapi.json").json()
    body = schema["webhooks"]["cutout-ended"]["post"]["requestBody"]["content"]
    documented = schema["components"]["schemas"][
        body["application/json"]["schema"]["$ref"].rpartition("/")[2]
    ]
    assert received.keys() == documented["properties"].keys()
    assert_no_secrets(shared)


def test_a_receiver_that_fails_gets_the_callback_again(shared: Server) -> None:
    with receiving(answer(500), answer(200), context=shared.tls) as receiver:
        created = shared.upload(jpeg(), data={"callback_url": receiver.url()}).json()
        until(lambda: len(receiver.requests) == 2)
        first, second = receiver.requests
        assert verified(first) == verified(second)
        assert first.headers["webhook-id"] == second.headers["webhook-id"] == created["id"]
    until(lambda: not shared.cluster.ledger.connection.client.exists("cutout:callbacks"))


@pytest.mark.parametrize("url", ["http://192.0.43.8/", "https://10.0.0.1/", "ftp://x", "https://"])
def test_where_callbacks_may_not_go(shared: Server, url: str) -> None:
    before = shared.stored()
    assert_problem(shared.upload(jpeg(), data={"callback_url": url}), 422, "url_refused")
    assert shared.stored() == before


def test_the_server_dies_between_outcome_and_delivery(
    quick_cluster: Cluster, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("CUTOUT_URL_ALLOWLIST", "127.0.0.1")
    with receiving(answer(200)) as receiver, serving(quick_cluster, tmp_path) as server:
        server.work()
        server.assert_works()
        created = server.upload(jpeg(1, "slow:2"), data={"callback_url": receiver.url()}).json()
        server.cluster.kill("serve")
        redis = server.cluster.ledger.connection.client
        until(lambda: redis.zscore("cutout:callbacks", created["id"]) is not None)
        assert not receiver.requests
        server.start()
        until(lambda: receiver.requests)
        assert verified(receiver.requests[0])["id"] == created["id"]


def test_urls_and_secrets_are_shown_nowhere(quick_cluster: Cluster, tmp_path, monkeypatch) -> None:
    """Not in logs, not in Redis while the image waits, not in Flower."""
    monkeypatch.setenv("CUTOUT_URL_ALLOWLIST", "127.0.0.1")
    port = free_port()
    flower = f"http://127.0.0.1:{port}"
    quick_cluster.env.update({"CUTOUT_FLOWER_PORT": str(port), "CUTOUT_RETRY_BUDGET": "2"})
    with (
        receiving(answer(500), answer(200)) as receiver,
        receiving(answer(500)) as source,
        serving(quick_cluster, tmp_path) as server,
    ):
        quick_cluster.start("flower", "producer", "flower")
        body = {
            "source": source.url(f"/a.jpg?{QUERY}"),
            "callback_url": receiver.url(f"/?{QUERY}"),
        }
        created = server.submit(**body).json()
        assert_no_secrets(server)
        server.work()
        until(lambda: source.requests)
        assert_no_secrets(server)
        until(lambda: receiver.requests)
        shown = ""

        def flowers() -> bool:
            nonlocal shown
            try:
                shown = httpx.get(f"{flower}/task/{created['id']}.0", trust_env=False).text
            except httpx.TransportError:
                return False
            return created["id"] in shown

        until(flowers)
        assert "sesame" not in shown
        assert server.ended(created["id"])["code"] == "exhausted"
        assert "sesame" not in server.client.get(f"/v1/cutouts/{created['id']}").text
        assert_no_secrets(server)
