"""Notifications of new objects, of every sender, over HTTP: one bad record stops no other."""

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import boto3
import pytest
from support.catalogue import photograph
from support.paths import ROOT
from support.services import until
from support.serving import Server, assert_problem, new_key, serving

RULES = [{"bucket": "arriving", "prefix": "in/", "destination": "s3://arriving/out"}]
URL = "/v1/events/s3"


@pytest.fixture(scope="module")
def server_settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    rules = tmp_path_factory.mktemp("rules") / "rules.json"
    rules.write_text(json.dumps(RULES))
    return {"CUTOUT_EVENT_RULES": str(rules)}


@pytest.fixture(scope="module", autouse=True)
def arriving(shared: Server, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("photographs") / "a.jpg"
    photograph(path)
    shared.s3.create_bucket(Bucket="arriving")
    for name in "abcde":
        shared.put("arriving", f"in/{name}.jpg", path.read_bytes())


def record(key: str, sequencer: str | None = None) -> dict:
    s3_object = {"key": key, "sequencer": sequencer or str(time.time_ns())}
    s3 = {"bucket": {"name": "arriving"}, "object": s3_object}
    return {"eventName": "ObjectCreated:Put", "eventSource": "aws:s3", "s3": s3}


def assert_done(shared: Server, cutout_ids: list[str], *names: str) -> None:
    outputs = {f"s3://arriving/out/{name}.png" for name in names}
    cutouts = [shared.ended(cutout_id) for cutout_id in cutout_ids]
    assert {cutout["output"] for cutout in cutouts} == outputs
    assert {cutout["status"] for cutout in cutouts} == {"done"}


def test_one_unsafe_key_of_three_stops_no_other(shared: Server):
    unsafe = "in/../secret.jpg"
    records = [record("in/a.jpg"), record(unsafe), record("in/b.jpg")]
    answer = shared.client.post(URL, json={"Records": records})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert_done(shared, body["accepted"], "a", "b")
    (refused,) = body["refused"]
    assert (refused["record"], refused["code"]) == (2, "unsafe_key")
    assert refused["location"] == f"s3://arriving/{unsafe}"
    assert refused["detail"]
    assert refused["next_step"]
    assert any(
        "event refused" in line and unsafe in line and "unsafe_key" in line
        for line in shared.cluster.log("serve").splitlines()
    )
    again = shared.client.post(URL, json={"Records": records}).json()
    assert (again["accepted"], again["ignored"], len(again["refused"])) == ([], 2, 1)


def test_one_malformed_record_stops_no_other(shared: Server):
    records = [record("in/c.jpg"), {"eventName": "ObjectCreated:Put"}, record("in/%ff.jpg"), 7]
    body = shared.client.post(URL, json={"Records": records}).json()
    assert_done(shared, body["accepted"], "c")
    assert [(one["record"], one["code"]) for one in body["refused"]] == [
        (2, "invalid_event"), (3, "invalid_event"), (4, "invalid_event"),
    ]  # fmt: skip
    assert_problem(shared.client.post(URL, json={"Records": "x"}), 422, "invalid_event")


@pytest.mark.parametrize(
    "key", ["in/._a.jpg", "in/__MACOSX/a.jpg", "in/@eaDir/a.jpg/SYNOPHOTO.jpg", "in/.Trash-0/a.png"]
)
def test_companion_files_are_ignored(shared: Server, key: str):
    body = shared.client.post(URL, json={"Records": [record(key)]}).json()
    assert body == {"accepted": [], "ignored": 1, "refused": []}


def test_messages_of_r2_google_and_sqs(shared: Server):
    now = str(time.time_ns())
    r2 = {
        "action": "PutObject", "bucket": "arriving", "eventTime": now,
        "object": {"key": "in/a.jpg", "size": 7, "eTag": "e"},
    }  # fmt: skip
    attributes = {
        "eventType": "OBJECT_FINALIZE", "bucketId": "arriving", "objectId": "in/b.jpg",
        "objectGeneration": now,
    }  # fmt: skip
    google = {"message": {"attributes": attributes}, "subscription": "projects/a/subscriptions/b"}
    inner = json.dumps({"Records": [record("in/c.jpg"), record("in/d.jpg")]})
    sqs = {"Records": [{"eventSource": "aws:sqs", "body": inner}]}
    for message, names in ((r2, "a"), (google, "b"), (sqs, "cd")):
        body = shared.client.post(URL, json=message).json()
        assert_done(shared, body["accepted"], *names)
        assert shared.client.post(URL, json=message).json()["ignored"] == len(names)


@pytest.fixture
def guarded(shared: Server, tmp_path: Path, server_settings: dict) -> Iterator[tuple[Server, str]]:
    """A second server, which requires API keys, and a key of it."""
    keys = tmp_path / "keys"
    key = new_key(shared.cluster, keys, "queue", "submit")
    env = {**server_settings, "CUTOUT_API_KEYS": str(keys)}
    with serving(shared.cluster, tmp_path, name="guarded", **env) as server:
        yield server, key
        shared.cluster.processes["guarded"].terminate()


def test_a_sender_without_headers_puts_its_key_into_the_url(guarded: tuple[Server, str]):
    server, key = guarded
    attributes = {"eventType": "OBJECT_DELETE"}
    message = {"message": {"attributes": attributes}, "subscription": "projects/a/subscriptions/b"}
    headers = {"Authorization": "Bearer a-token-of-googles"}
    answer = server.client.post(URL, params={"token": key}, json=message, headers=headers)
    assert answer.status_code == 200, answer.text
    assert_problem(server.client.post(URL, json=message, headers=headers), 401, "invalid_api_key")
    wrong = server.client.post(URL, params={"token": "cut_wrong"}, json=message)
    assert_problem(wrong, 401, "invalid_api_key")
    assert key not in server.cluster.log("guarded")


@pytest.fixture(scope="module")
def bridge() -> ModuleType:
    spec = importlib.util.spec_from_file_location("forward", ROOT / "docs/forward_sqs.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_bridge_forwards_a_queue(
    guarded: tuple[Server, str], shared: Server, moto_server, bridge: ModuleType
):
    server, key = guarded
    aws = moto_server.environment
    sqs = boto3.client(
        "sqs", endpoint_url=aws["AWS_ENDPOINT_URL"], region_name=aws["AWS_DEFAULT_REGION"],
        aws_access_key_id=aws["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=aws["AWS_SECRET_ACCESS_KEY"],
    )  # fmt: skip
    queue = sqs.create_queue(QueueName=f"q{time.time_ns()}", Attributes={"VisibilityTimeout": "0"})[
        "QueueUrl"
    ]
    good = json.dumps({"Records": [record("in/d.jpg"), record("in/../x.jpg")]})
    for body in (good, "no JSON", json.dumps({"Records": [record("in/e.jpg")]})):
        sqs.send_message(QueueUrl=queue, MessageBody=body)

    def waiting() -> int:
        attributes = sqs.get_queue_attributes(
            QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessages"]
        )["Attributes"]
        return int(attributes["ApproximateNumberOfMessages"])

    assert bridge.forward(sqs, queue, server.url + URL, "cut_wrong", wait=0)[0] == 0
    assert waiting() == 3  # not a message is lost
    command = [sys.executable, ROOT / "docs/forward_sqs.py", queue, server.url + URL]
    env = {**server.cluster.environment(), **aws, "CUTOUT_API_KEY": key}
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
        try:
            until(lambda: waiting() == 0)
        finally:
            process.terminate()
        log = process.communicate()[1]
    answers = [json.loads(line.partition(": ")[2]) for line in log.splitlines()]
    assert_done(shared, [one for answer in answers for one in answer["accepted"]], "d", "e")
    assert sorted(one["code"] for answer in answers for one in answer["refused"]) == [
        "invalid_event", "unsafe_key",
    ]  # fmt: skip
