"""The misbehaving proxies of `support.faults`, and what the ledger and the store make of them."""

import io
import itertools
import threading
import time

import boto3
import pytest
import redis
from botocore.config import Config
from redis.backoff import NoBackoff
from redis.retry import Retry
from support.faults import (
    Answer,
    Fault,
    HttpProxy,
    NoAnswer,
    Rule,
    TcpProxy,
    close,
    delay,
    hang,
    rewrite,
    status,
    truncate,
)  # fmt: skip
from support.services import RedisServer, S3Server, until

from contract.errors import CutoutError, ErrorCode, PermanentError, RetryableError
from contract.ledger.redis_ledger import RedisLedger
from contract.storage import s3 as s3_store

BODY = bytes(range(256)) * 400
ONCE = Retry(NoBackoff(), 0)


# Redis


@pytest.fixture
def tcp(redis_server: RedisServer):
    with TcpProxy(redis_server.url.removeprefix("unix://")) as proxy:
        yield proxy


@pytest.fixture
def impatient(tcp: TcpProxy):
    """A client that tries once, and waits 1 s for a reply."""
    with redis.Redis.from_url(tcp.url, socket_timeout=1, retry=ONCE) as client:
        yield client


def test_a_ledger_works_through_the_proxy(tcp) -> None:
    ledger = RedisLedger(tcp.url)  # kept in a variable: the connection closes with it
    ledger.ping()
    assert (tcp.accepted, tcp.connections) == (1, 1)


def test_much_is_forwarded_both_ways(tcp, impatient) -> None:
    large = BODY * 50
    impatient.set("a", large)
    assert impatient.get("a") == large


def test_cut_connections_are_opened_again(tcp, impatient) -> None:
    impatient.ping()
    tcp.cut()
    assert tcp.connections == 0
    impatient.ping()
    assert (tcp.accepted, tcp.connections) == (2, 1)


def test_refused_means_at_once(tcp, impatient) -> None:
    impatient.ping()
    tcp.mode = "refuse"
    for _ in range(2):
        with pytest.raises(redis.ConnectionError):  # no TimeoutError
            impatient.ping()
    with pytest.raises(RetryableError) as caught:
        RedisLedger(tcp.url, retries=0).ping()
    assert caught.value.code is ErrorCode.REDIS_UNAVAILABLE
    assert tcp.connections == 0
    tcp.mode = "pass"
    impatient.ping()


def test_a_black_hole_holds_what_is_sent_into_it(tcp, impatient, redis_server) -> None:
    impatient.ping()
    tcp.mode = "blackhole"
    with pytest.raises(redis.TimeoutError):
        impatient.set("old", 1)  # on an open connection
    with pytest.raises(redis.TimeoutError):
        impatient.set("new", 1)  # on a new one
    direct = redis.Redis.from_url(redis_server.url)
    assert direct.mget("old", "new") == [None, None]
    tcp.mode = "pass"
    until(lambda: direct.get("old"), 60, 0.01)  # as TCP sends it again
    impatient.ping()
    direct.close()


def test_a_black_hole_keeps_connections_open(tcp) -> None:
    with redis.Redis.from_url(tcp.url, socket_timeout=60, retry=ONCE) as patient:
        patient.ping()
        tcp.mode = "blackhole"
        threading.Timer(0.3, setattr, [tcp, "mode", "pass"]).start()
        start = time.monotonic()
        patient.ping()
        assert time.monotonic() - start >= 0.25
        assert tcp.accepted == 1


def test_a_stranded_connection_stays_silent_and_a_new_one_works(tcp, impatient) -> None:
    impatient.ping()
    tcp.strand()
    with pytest.raises(redis.TimeoutError):
        impatient.ping()
    impatient.ping()
    assert tcp.accepted == 2


def test_a_delay_is_each_way(tcp, impatient) -> None:
    impatient.ping()
    tcp.delay = 0.1
    start = time.monotonic()
    impatient.ping()
    assert time.monotonic() - start >= 0.2


def test_no_upstream_looks_like_a_dead_redis(redis_server, tcp, impatient) -> None:
    redis_server.stop()
    with pytest.raises(redis.ConnectionError):
        impatient.ping()
    redis_server.start()
    impatient.ping()


# object storage


@pytest.fixture
def s3(request, monkeypatch) -> S3Server:
    """One server, because the proxy is what is tested."""
    server = request.getfixturevalue(f"{getattr(request, 'param', 'rclone')}_server")
    server.select(monkeypatch)
    return server


@pytest.fixture
def spoil(s3, bucket, monkeypatch):
    """The proxy, the AWS variables pointing at it, and a store with short timeouts."""
    with HttpProxy(s3.url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        impatient = Config(connect_timeout=5, read_timeout=1.5)
        monkeypatch.setattr(s3_store, "CLIENT", s3_store.CLIENT.merge(impatient))
        pause = "botocore.retries.standard.ExponentialBackoff.delay_amount"
        monkeypatch.setattr(pause, lambda *_: 0)
        yield proxy


@pytest.fixture
def store(spoil, bucket) -> s3_store.S3Store:
    store = s3_store.S3Store(bucket, "shelf")
    store.put("a/b c+d.jpg", BODY, "image/jpeg", {"batch": "b"})
    return store


KEY = "a/b c+d.jpg"


@pytest.mark.parametrize("s3", ["moto", "rclone"], indirect=True)
def test_storage_works_through_the_proxy(store, spoil, tmp_path) -> None:
    head = store.head(KEY)
    blob = store.get(KEY)
    assert (head.size, head.metadata, head.etag) == (len(BODY), {"batch": "b"}, blob.etag)
    assert blob.data == BODY
    assert [row.key for row in store.list()] == [KEY]
    assert store.head("none") is None
    with pytest.raises(PermanentError) as caught:
        store.get("none")
    assert caught.value.code is ErrorCode.OBJECT_MISSING
    store.put("empty", b"", "image/png")
    assert store.get("empty").data == b""
    (tmp_path / "large").write_bytes(BODY * 90)
    with (tmp_path / "large").open("rb") as file:
        store.put("large", file, "image/png")  # in parts, at 8 MB
    assert store.get("large").data == BODY * 90
    assert spoil.requests["HEAD"] == 3  # one checks whether the parts became an object
    assert spoil.requests["PUT"] >= 4


def test_a_body_in_chunks_arrives_whole(spoil, bucket) -> None:
    """With a trailing checksum: `aws-chunked`, boto3's default."""
    plain = boto3.session.Session().client("s3")
    plain.put_object(Bucket=bucket, Key="chunks", Body=io.BytesIO(BODY), ChecksumAlgorithm="CRC32")
    assert plain.get_object(Bucket=bucket, Key="chunks")["Body"].read() == BODY
    plain.close()


OPERATIONS = {
    "GET": lambda store: store.get(KEY),
    "PUT": lambda store: store.put("new", BODY, "image/png"),
    "HEAD": lambda store: store.head(KEY),
    "LIST": lambda store: list(store.list()),
}
UNAVAILABLE, DENIED = ErrorCode.STORAGE_UNAVAILABLE, ErrorCode.ACCESS_DENIED


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        (status(503), RetryableError, UNAVAILABLE),
        (status(500), RetryableError, UNAVAILABLE),
        (status(403), PermanentError, DENIED),
        (close(), RetryableError, UNAVAILABLE),
        (hang(), RetryableError, UNAVAILABLE),
        (delay(2.5), RetryableError, UNAVAILABLE),  # beyond the client's timeout
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_fault_raises_one_of_the_products_errors(
    store, spoil, fault: Fault, error, code, operation
) -> None:
    before = spoil.requests.total()
    rule = spoil.add(fault)
    with pytest.raises(CutoutError) as caught:
        OPERATIONS[operation](store)
    assert (type(caught.value), caught.value.code) == (error, code)
    # the client tries twice if the error may be temporary, and after a HEAD asks why by a GET
    tries = 1 if error is PermanentError and operation != "HEAD" else 2
    assert rule.fired == spoil.requests.total() - before == tries
    spoil.clear()
    OPERATIONS[operation](store)


@pytest.mark.parametrize(
    ("operation", "share"),
    [
        *itertools.product(["GET"], [0, 0.5, 0.9999]),
        *itertools.product(["LIST"], [0, 0.5, 0.99]),
    ],
)
def test_a_truncated_body_is_never_accepted(store, spoil, operation, share) -> None:
    rule = spoil.add(truncate(share))
    with pytest.raises(RetryableError) as caught:
        OPERATIONS[operation](store)
    assert caught.value.code is UNAVAILABLE
    assert rule.fired
    store.head(KEY)
    spoil.clear()
    assert store.get(KEY).data == BODY


@pytest.mark.parametrize("operation", ["GET", "HEAD", "PUT", "LIST"])
def test_an_answer_of_another_server_is_not_accepted(store, spoil, operation) -> None:
    page = Answer(200, "OK", [("Content-Type", "text/html")], b"<html><p>Welcome</p></html>")
    spoil.add(Fault("portal", answer=page))  # like a captive portal's, or a proxy's error page
    with pytest.raises(RetryableError) as caught:
        OPERATIONS[operation](store)
    assert caught.value.code is UNAVAILABLE


def test_one_fault_is_ridden_out_by_the_second_try(store, spoil) -> None:
    rule = spoil.add(status(503), limit=1)
    assert store.get(KEY).data == BODY
    assert rule.fired == 1


def test_a_short_delay_is_only_that(store, spoil) -> None:
    spoil.add(delay(0.2))
    start = time.monotonic()
    assert store.get(KEY).data == BODY
    assert time.monotonic() - start >= 0.2


def test_rules_choose_by_method_and_path(store, spoil) -> None:
    puts = spoil.add(status(403), methods={"PUT"}, path="/shelf/new")
    odd = spoil.add(status(403), path=lambda path: path.endswith("odd"))
    store.put("other", BODY, "image/png")
    store.get(KEY)
    for operation in (OPERATIONS["PUT"], lambda s: s.get("odd"), lambda s: s.get("odd")):
        with pytest.raises(PermanentError):
            operation(store)
    assert (puts.fired, odd.fired) == (1, 2)
    spoil.remove(puts)
    OPERATIONS["PUT"](store)


def test_a_delay_and_a_status_add_up_and_an_ending_ends(store, spoil) -> None:
    first, second, third = spoil.add(delay(0.1)), spoil.add(status(403)), spoil.add(hang())
    with pytest.raises(PermanentError):
        store.get(KEY)
    assert (first.fired, second.fired, third.fired) == (1, 1, 0)


def test_chance_is_seeded() -> None:
    def drawn(seed: int) -> list[bool]:
        rule = Rule(close(), probability=0.3, seed=seed)
        return [rule.fires("GET", "/") for _ in range(1000)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert 250 < sum(drawn(1)) < 350


def test_an_answer_can_be_rewritten_or_lost(store, spoil) -> None:
    def without_etag(answer: Answer) -> Answer:
        answer.headers = [(name, text) for name, text in answer.headers if name.lower() != "etag"]
        return answer

    def lost(answer: Answer) -> Answer:
        raise NoAnswer

    spoil.add(rewrite(without_etag), methods={"GET"})
    with pytest.raises(RetryableError):
        store.get(KEY)
    spoil.add(rewrite(lost), methods={"PUT"})
    with pytest.raises(RetryableError):
        store.put("done all the same", BODY, "image/png")
    spoil.clear()
    assert store.get("done all the same").data == BODY


def test_an_object_can_be_changed_at_a_known_moment(store, spoil) -> None:
    count = itertools.count()

    def change(method: str, path: str) -> None:
        if method == "GET" and "shelf/a/" in path and next(count) == 0:
            store.put(KEY, b"changed", "image/jpeg")  # through the proxy, from within the proxy

    etag = store.head(KEY).etag
    spoil.before = change
    blob = store.get(KEY)
    assert blob.data == b"changed"
    assert blob.etag != etag


def test_storage_that_is_down_is_unavailable(monkeypatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with HttpProxy("http://127.0.0.1:9") as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        with pytest.raises(RetryableError):
            s3_store.S3Store("bucket", "").head(KEY)


def test_many_clients_at_once(store, spoil) -> None:
    rule = spoil.add(close(), methods={"HEAD"}, probability=0.5, seed=1)
    bodies: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: bodies.extend(store.get(KEY).data for _ in range(10)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert bodies == [BODY] * 80
    assert spoil.requests["GET"] == 80
    assert rule.fired == 0
