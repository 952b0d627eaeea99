"""Hostile requests. Each is refused by name and does no harm: a normal upload still works."""

import json
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.receivers import answer, receiving
from support.serving import SECRET, Server, assert_problem, jpeg

from contract.cutout import PrivateFields
from contract.errors import PermanentError
from contract.job import ImageJob, ManifestLine
from contract.recipe import Recipe
from contract.settings import settings
from contract.storage import open_store
from producer.callbacks.signatures import sign
from worker.fetch import fetch

TOPIC = "arn:aws:sns:us-west-2:123456789012:uploads"
RULES = [{"bucket": "announced", "prefix": "in/", "destination": "s3://announced/in/out"}]


@pytest.fixture(scope="module")
def server_settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    rules = tmp_path_factory.mktemp("rules") / "rules.json"
    rules.write_text(json.dumps(RULES))
    return {
        "CUTOUT_EVENT_RULES": str(rules), "CUTOUT_SNS_TOPICS": TOPIC,
        "CUTOUT_MAX_PIXELS": "1000000",
    }  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def announced(shared: Server) -> None:
    shared.s3.create_bucket(Bucket="announced")


@pytest.fixture(autouse=True)
def unharmed(shared: Server) -> Iterator[None]:
    yield
    shared.assert_works()
    assert "Traceback" not in shared.cluster.log("serve")
    assert shared.cluster.log("serve").count("unexpected error") == 0


def event(key: str, sequencer: str = "", bucket: str = "announced") -> dict:
    s3_object = {"key": key, "sequencer": sequencer}
    s3 = {"bucket": {"name": bucket}, "object": s3_object}
    record = {"eventName": "ObjectCreated:Put", "s3": s3}
    return {"Records": [record]}


def signed(shared: Server, body: bytes, skew: int = 0, secret: str = SECRET):
    headers = sign(f"msg_{time.time_ns()}", int(time.time()) + skew, body, [secret])
    return shared.client.post("/v1/events/s3", content=body, headers=headers)


def announce(shared: Server, document: dict):
    return signed(shared, json.dumps(document).encode())


# events


def test_an_announced_object_is_cut_out_once(shared: Server) -> None:
    shared.put("announced", "in/a shoe.jpg", jpeg())
    first = announce(shared, event("in/a+shoe.jpg", "01"))
    (cutout_id,) = first.json()["accepted"]
    assert shared.ended(cutout_id)["output"] == "s3://announced/in/out/a shoe.png"
    for _ in range(3):
        replayed = announce(shared, event("in/a+shoe.jpg", "01"))
        assert replayed.json() == {"accepted": [], "ignored": 1, "refused": []}
    assert len(announce(shared, event("in/a+shoe.jpg", "02")).json()["accepted"]) == 1


def test_an_announced_key_may_have_empty_parts(shared: Server) -> None:
    for key in ("in//a.jpg", "in/a.jpg"):
        shared.put("announced", key, jpeg())
        (cutout_id,) = announce(shared, event(key, "empty part")).json()["accepted"]
        output = f"in/out{key.removeprefix('in').removesuffix('.jpg')}.png"
        assert shared.ended(cutout_id)["output"] == f"s3://announced/{output}"
        assert shared.get("announced", output)


def test_an_announced_object_that_failed_is_cut_out_when_announced_again(shared: Server) -> None:
    (first,) = announce(shared, event("in/late.jpg", "01")).json()["accepted"]
    assert shared.ended(first)["code"] == "object_missing"
    shared.put("announced", "in/late.jpg", jpeg())
    with ThreadPoolExecutor(8) as pool:
        again = list(pool.map(lambda _: announce(shared, event("in/late.jpg", "01")), range(8)))
    (second,) = [one for answer in again for one in answer.json().get("accepted", [])]
    assert shared.ended(second)["status"] == "done"
    replayed = announce(shared, event("in/late.jpg", "01"))
    assert replayed.json() == {"accepted": [], "ignored": 1, "refused": []}


@pytest.mark.parametrize(
    ("skew", "secret"), [(0, "whsec_" + "A" * 32), (360, SECRET), (-360, SECRET)]
)
def test_signatures_that_do_not_hold(shared: Server, skew: int, secret: str) -> None:
    body = json.dumps(event("in/b.jpg", "01")).encode()
    assert_problem(signed(shared, body, skew, secret), 401, "signature_refused")


def test_a_signature_of_another_body(shared: Server) -> None:
    headers = sign("msg_1", int(time.time()), b"{}", [SECRET])
    body = json.dumps(event("in/b.jpg", "01")).encode()
    refused = shared.client.post("/v1/events/s3", content=body, headers=headers)
    assert_problem(refused, 401, "signature_refused")


DEEP = b'{"a":' * 10_000 + b"1" + b"}" * 10_000


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"x": "' + b"x" * 70_000 + b'"}', 413, "too_many_bytes"),
        (DEEP, 422, "invalid_event"),
        (b"[" * 60_000, 422, "invalid_event"),
        (b"", 422, "invalid_event"),
        (b"\xff\xfe", 422, "invalid_event"),
        (b'{"Records": [NaN]}', 422, "invalid_event"),
        (b'{"Records": 1}', 422, "invalid_event"),
        (b'{"hello": "world"}', 422, "invalid_event"),
    ],
)
def test_invalid_events(shared: Server, body: bytes, status: int, code: str) -> None:
    assert_problem(signed(shared, body), status, code)


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (event("in/../../x.jpg"), "unsafe_key"),
        (event("in/\0.jpg"), "unsafe_key"),
        (event("in/%ff.jpg"), "invalid_event"),
        (event("in/a.jpg", bucket="../b"), "invalid_event"),
    ],
)
def test_invalid_records(shared: Server, document: dict, code: str) -> None:
    answer = signed(shared, json.dumps(document).encode())
    assert answer.status_code == 200
    assert [refused["code"] for refused in answer.json()["refused"]] == [code]
    assert answer.json()["accepted"] == []


@pytest.mark.parametrize(
    "document",
    [
        event("in/out/a.png"),  # an output: it would be cut out forever
        event("in/_cutout/metadata/a.jpg"),
        event("elsewhere/a.jpg"),
        event("in/a.jpg", bucket="other"),
        event("in/notes.txt"),
    ],
)
def test_objects_that_match_no_rule(shared: Server, document: dict) -> None:
    assert announce(shared, document).json() == {"accepted": [], "ignored": 1, "refused": []}


def test_the_test_event_of_a_bucket(shared: Server) -> None:
    hello = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "announced"}
    assert announce(shared, hello).json() == {"accepted": [], "ignored": 0, "refused": []}


@pytest.mark.parametrize(
    "change",
    [
        {"TopicArn": TOPIC + "x"},
        {"SubscribeURL": "https://169.254.169.254/?x"},
        {"SubscribeURL": "https://sns.us-west-2.amazonaws.com.evil.example/?x"},
        {"SigningCertURL": "https://127.0.0.1/x.pem"},
        {"SigningCertURL": "https://sns.s3.amazonaws.com/x.pem"},
        {"Type": "Confirm"},
        {"Type": 1},
        {"SignatureVersion": "3"},
    ],
)
def test_forged_envelopes_of_sns(shared: Server, change: dict) -> None:
    envelope = {
        "Type": "SubscriptionConfirmation", "TopicArn": TOPIC, "MessageId": "1", "Message": "x",
        "Timestamp": "x", "Token": "x", "Signature": "eA==", "SignatureVersion": "2",
        "SubscribeURL": "https://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription",
        "SigningCertURL": "https://sns.us-west-2.amazonaws.com/x.pem", **change,
    }  # fmt: skip
    refused = shared.client.post("/v1/events/s3", json=envelope)
    assert_problem(refused, 401, "signature_refused")


# addresses

PRIVATE = [
    "https://10.0.0.1/a.jpg", "https://192.168.1.1/", "https://172.16.0.1/", "https://[::1]/",
    "https://169.254.169.254/latest/meta-data/", "https://[fd00:ec2::254]/",
    "https://[::ffff:169.254.169.254]/", "https://[::ffff:10.0.0.1]/",
    "https://[64:ff9b::a9fe:a9fe]/", "https://[2002:a9fe:a9fe::1]/", "https://0.0.0.0/",
    "https://0xa9fea9fe/", "https://2852039166/", "https://0251.0376.0251.0376/",
    "https://user:pass@10.0.0.1/", "https://100.64.0.1/", "https://168.63.129.16/",
    "ftp://10.0.0.1/", "gopher://10.0.0.1/", "https://10.0.0.1\\@example.com/",
    "https://a b/", "https://x\r\nHost: y/",
]  # fmt: skip


def test_private_and_metadata_addresses(shared: Server) -> None:
    for url in PRIVATE:
        assert_problem(shared.submit(source=url), 422, "url_refused")
        hook = shared.submit(source="s3://announced/in/a.jpg", callback_url=url)
        assert_problem(hook, 422, "url_refused")


def test_redirects_to_metadata(shared: Server) -> None:
    metadata = "https://169.254.169.254/latest/meta-data/"
    with receiving(answer(302, Location=metadata), context=shared.tls) as host:
        failed = shared.submit(30, source=host.url()).json()
    assert (failed["status"], failed["code"]) == ("failed", "url_refused")


def test_dns_rebinding(tmp_path, monkeypatch) -> None:
    """A name is public at the first look-up and private later: the worker looks it up once."""
    job = ImageJob(
        batch="c-20250101-000000-abcdefabcdef", line=0, source=str(tmp_path), destination="x",
        photograph=ManifestLine(key="private.json", size=0, etag=""), recipe=Recipe(model="u2netp"),
        source_is_url=True,
    )  # fmt: skip
    fields = PrivateFields(url="https://rebinding.example/a.jpg").model_dump_json()
    open_store(str(tmp_path)).put("private.json", fields.encode(), "application/json")
    resolved: list[str] = []
    connected: list[tuple] = []

    def resolve(host, port, **_):
        resolved.append(host)
        address = "93.184.215.14" if len(resolved) == 1 else "169.254.169.254"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    def connect(_, address) -> None:
        connected.append(address)
        raise OSError

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr("contract.safe_http.client.socket.connect", connect)
    with pytest.raises(Exception, match="url_unavailable"):
        fetch(job, settings())
    assert resolved == ["rebinding.example"]
    assert connected == [("93.184.215.14", 443)]
    with pytest.raises(PermanentError, match="not public"):
        fetch(job, settings())
    assert len(connected) == 1


# photographs


def png(width: int, height: int, data: bytes) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("width", "height", "inflated", "code"),
    [
        (50_000, 50_000, 1000, "too_many_pixels"),
        (2**31 - 1, 2**31 - 1, 1000, None),
        (16, 16, 300 * 1024**2, None),  # far more than its pixels need
    ],
)
def test_bombs(shared: Server, width: int, height: int, inflated: int, code: str | None) -> None:
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(bytes(1 << 20)) for _ in range(inflated >> 20))
    bomb = png(width, height, data + packer.compress(bytes(1000)) + packer.flush())
    ended = shared.upload(bomb, "bomb.png", wait=40).json()
    if code:
        assert (ended["status"], ended["code"]) == ("failed", code)
    assert ended["status"] in {"failed", "done"}
    assert ended["attempts"] == 1


NAMES = [
    "../../x.jpg", "/etc/passwd", "..\\..\\x.jpg", "x" * 5000 + ".jpg", ".jpg", "a\0.jpg", "",
    "a.jpg/../../b", 'a"; filename="b.jpg', "a.jpg\r\nX-Evil: 1\r\n\r\n", "é☃.JPG",
    "%2e%2e%2fx.jpg",
]  # fmt: skip


def test_file_names_of_uploads_are_not_used(shared: Server) -> None:
    before = shared.stored()
    for name in NAMES:
        created = shared.upload(jpeg(), name, wait=30)
        if created.status_code == 422:  # a part without a file name is not a file
            assert_problem(created, 422, "invalid_request")
            continue
        assert created.json()["status"] == "done", (name, created.text)
        assert "x-evil" not in created.headers
        image = shared.client.get(created.json()["image"])
        assert "evil" not in str(image.headers).lower()
        new = set(shared.stored()) - set(before)
        cutout_id = created.json()["id"]
        assert all(Path(one).stem == cutout_id for one in new), new
        shared.client.delete(created.headers["location"])
    assert shared.stored() == before
    outside = shared.store.parent.rglob("x.jpg")
    assert not list(outside)


@pytest.mark.parametrize("key", ["../../x.jpg", "a/../../x.jpg", "./a.jpg", "a\0.jpg"])
def test_keys_that_climb(shared: Server, key: str) -> None:
    assert_problem(shared.submit(source=f"s3://announced/{key}"), 422, "unsafe_key")
    refused = shared.submit(source="s3://announced/in/a.jpg", destination=f"s3://announced/{key}")
    assert_problem(refused, 422, "unsafe_key")


def test_a_form_of_a_thousand_fields(shared: Server) -> None:
    fields = {f"field{n}": "x" for n in range(1000)}
    assert_problem(shared.upload(jpeg(), data=fields), 422, "invalid_request")
    files = [("image", ("a.jpg", jpeg())) for _ in range(5)]
    assert_problem(shared.client.post("/v1/cutouts", files=files), 422, "invalid_request")
    assert_problem(shared.upload(jpeg(), data={"more": "x"}), 422, "invalid_request")


@pytest.mark.parametrize(
    "body", [b"{" * 60_000, DEEP, b'{"source": "\\ud800"}', b'"' + b"x" * 70_000, b"null", b"1"]
)
def test_hostile_json(shared: Server, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    for path in ("/v1/cutouts", "/v1/batches"):
        refused = shared.client.post(path, content=body, headers=headers)
        large = len(body) > 65536
        assert_problem(
            refused, 413 if large else 422, "too_many_bytes" if large else "invalid_request"
        )
    answered = shared.client.post("/v1.0/removebg", content=body, headers=headers)
    assert answered.status_code == 400, answered.text
    assert answered.json()["errors"][0]["code"]


def test_json_that_names_half_a_surrogate_pair(shared: Server) -> None:
    headers = {"Content-Type": "application/json"}
    refused = shared.client.post("/v1/batches", content=b'{"\\ud800": 1}', headers=headers)
    assert_problem(refused, 422, "invalid_request")
    body = b'{"image_url": "https://example.com/a.jpg", "\\ud800": 1}'
    refused = shared.client.post("/v1.0/removebg", content=body, headers=headers)
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["code"] == "unknown_parameter"


def test_a_websocket(shared: Server) -> None:
    """There are none: the request is answered as any other."""
    with socket.create_connection(("127.0.0.1", shared.port), 10) as link:
        link.sendall(
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert link.recv(100).startswith(b"HTTP/1.1 200")


def test_headers_that_are_too_long(shared: Server) -> None:
    with socket.create_connection(("127.0.0.1", shared.port), 10) as link:
        link.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 100_000)
        assert link.recv(100).startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))
    odd = {"Idempotency-Key": "x" * 300}
    assert_problem(shared.upload(jpeg(), headers=odd), 422, "invalid_request")
