"""An SNS topic, from its subscription to a cutout, with a server that stands in for AWS.

The host name of SNS resolves to that server; everything else is as in production: TLS, the signing
certificate, the signature, the queue, the worker.
"""

import base64
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from support.receivers import Receiver, Request, answer, certificate, receiving, tls
from support.serving import Server, assert_problem, is_cutout, jpeg

HOST = "sns.us-west-2.amazonaws.com"
TOPIC = "arn:aws:sns:us-west-2:123456789012:uploads"
PEM = f"https://{HOST}/SimpleNotificationService-1.pem"
CONFIRM = f"https://{HOST}/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=23364"
KEY = rsa.generate_private_key(65537, 2048)

WHITE = {"destination": "s3://topic/white", "rendition": {"format": "jpg"}}
RULES = [
    {"bucket": "topic", "prefix": "in/white/", **WHITE},
    {"bucket": "topic", "prefix": "in/", "destination": "s3://topic/out"},
]
# Python imports it first in the server's process
SITECUSTOMIZE = """
import socket
from pathlib import Path

known = socket.getaddrinfo

def getaddrinfo(host, port, *arguments, **more):
    if host == {host!r}:
        host, port = "127.0.0.1", int(Path({folder!r}, "port").read_text())
    return known(host, port, *arguments, **more)

socket.getaddrinfo = getaddrinfo
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the server reads: its rules, AWS's certificate, and at which port AWS answers."""
    made = tmp_path_factory.mktemp("aws")
    (made / "rules.json").write_text(json.dumps(RULES))
    (made / "sitecustomize.py").write_text(SITECUSTOMIZE.format(host=HOST, folder=str(made)))
    return made


@pytest.fixture(scope="module")
def server_context(folder: Path) -> ssl.SSLContext:
    return tls(folder, HOST)[0]


@pytest.fixture(scope="module")
def server_settings(folder: Path, server_context: ssl.SSLContext) -> dict[str, str]:
    return {
        "CUTOUT_EVENT_RULES": str(folder / "rules.json"), "CUTOUT_SNS_TOPICS": TOPIC,
        "CUTOUT_URL_ALLOWLIST": HOST, "SSL_CERT_FILE": str(folder / "server.pem"),
        "PYTHONPATH": str(folder),
    }  # fmt: skip


def respond(link: socket.socket, request: Request) -> None:
    pem = certificate(KEY, "sns.amazonaws.com").public_bytes(Encoding.PEM)
    answer(200, pem if request.path.endswith(".pem") else b"<ok/>")(link, request)


@pytest.fixture
def aws(shared: Server, folder: Path, server_context: ssl.SSLContext) -> Iterator[Receiver]:
    with receiving(respond, context=server_context) as receiver:
        (folder / "port").write_text(str(receiver.port))
        yield receiver


def sent(shared: Server, key: rsa.RSAPrivateKey = KEY, **fields: str):
    envelope = {
        "MessageId": "22b80b92", "TopicArn": TOPIC, "Timestamp": "2026-05-02T00:54:06.655Z",
        "SignatureVersion": "2", "SigningCertURL": PEM, **fields,
    }  # fmt: skip
    signed = {"Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"}
    text = "".join(f"{name}\n{envelope[name]}\n" for name in sorted(signed & envelope.keys()))
    signature = key.sign(text.encode(), padding.PKCS1v15(), SHA256())
    body = json.dumps({**envelope, "Signature": base64.b64encode(signature).decode()})
    # as SNS labels it
    headers = {"Content-Type": "text/plain; charset=UTF-8"}
    return shared.client.post("/v1/events/s3", content=body, headers=headers)


def announced(key: str, sequencer: str) -> str:
    s3_object = {"key": key, "size": 1, "eTag": "1", "sequencer": sequencer}
    record = {
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "topic"}, "object": s3_object},
    }
    return json.dumps({"Records": [record]})


def test_a_subscription_confirms_itself(shared: Server, aws: Receiver) -> None:
    confirmed = sent(shared, Type="SubscriptionConfirmation", Message="x", Token="23364",
                SubscribeURL=CONFIRM)  # fmt: skip
    assert (confirmed.status_code, confirmed.json()) == (
        200,
        {"accepted": [], "ignored": 0, "refused": []},
    )
    assert {r.path for r in aws.requests} >= {CONFIRM.partition(HOST)[2]}


def test_an_object_that_a_topic_announces(shared: Server, aws: Receiver) -> None:
    shared.s3.create_bucket(Bucket="topic")
    shared.put("topic", "in/shoes/a shoe.jpg", jpeg())
    message = announced("in/shoes/a+shoe.jpg", "01")
    (cutout_id,) = sent(shared, Type="Notification", Message=message).json()["accepted"]
    assert shared.ended(cutout_id)["output"] == "s3://topic/out/shoes/a shoe.png"
    assert is_cutout(shared.get("topic", "out/shoes/a shoe.png"))
    again = sent(shared, Type="Notification", Message=message)
    assert again.json() == {"accepted": [], "ignored": 1, "refused": []}
    # each certificate is fetched once
    assert len(aws.requests) <= 1


def test_a_rule_that_asks_for_a_jpeg(shared: Server, aws: Receiver) -> None:
    shared.s3.create_bucket(Bucket="topic")
    shared.put("topic", "in/white/shoe.png", jpeg())
    message = announced("in/white/shoe.png", "03")
    (cutout_id,) = sent(shared, Type="Notification", Message=message).json()["accepted"]
    assert shared.ended(cutout_id)["output"] == "s3://topic/white/shoe.jpg"
    assert shared.get("topic", "white/shoe.jpg").startswith(b"\xff\xd8\xff")
    again = sent(shared, Type="Notification", Message=announced("white/shoe.jpg", "04"))
    assert again.json() == {"accepted": [], "ignored": 1, "refused": []}  # an output


def test_a_topic_that_somebody_else_signs(shared: Server, aws: Receiver) -> None:
    other = rsa.generate_private_key(65537, 2048)
    message = announced("in/b.jpg", "02")
    assert_problem(
        sent(shared, other, Type="Notification", Message=message), 401, "signature_refused"
    )
    confirmation = sent(shared, other, Type="SubscriptionConfirmation", Message="x", Token="23364",
                 SubscribeURL=CONFIRM)  # fmt: skip
    assert_problem(confirmation, 401, "signature_refused")
    assert all(request.path.endswith(".pem") for request in aws.requests)
