"""The client for untrusted URLs, against real servers on loopback, most of them hostile."""

import gzip
import socket
import ssl
import threading
import time

import pytest
from support.receivers import Receiver, answer, raw, receiving, tls

from contract.errors import CutoutError, ErrorCode, PermanentError, RetryableError
from contract.safe_http import client

LOOPBACK = ("127.0.0.0/8", "::1")
SECRET = "sesame"


def failure(
    url: str, max_bytes: int = 1000, seconds: float = 5, allow=LOOPBACK, context=None
) -> CutoutError:
    with pytest.raises(CutoutError) as caught:
        client.fetch(url, max_bytes, allow=allow, seconds=seconds, context=context)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    return caught.value


def resolving(monkeypatch: pytest.MonkeyPatch, *results: list[str]) -> list[str]:
    """Have the resolver return these addresses in turn, then fail; return the hosts looked up."""
    looked_up: list[str] = []
    remaining = iter(results)

    def getaddrinfo(host, port, *_, **__):
        looked_up.append(host)
        addresses = next(remaining, None)
        if addresses is None:
            raise socket.gaierror
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return looked_up


def test_a_file_is_fetched_with_its_etag_and_type():
    script = answer(200, b"bytes", ETag='W/"abc"', Content_Type="Image/JPEG; q=1")
    with receiving(script) as server:
        result = client.fetch(server.url("/a%20b?s=1"), 5, allow=LOOPBACK)
    assert result == client.FetchResult(b"bytes", "abc", "image/jpeg")
    request = server.requests[0]
    assert (request.method, request.path) == ("GET", "/a%20b?s=1")
    assert request.headers["host"] == f"127.0.0.1:{server.port}"
    assert request.headers["accept-encoding"] == "identity"


def test_missing_and_absurd_headers_are_empty():
    long = answer(200, b"x", ETag="e" * 300, Content_Type="\u00fc")
    with receiving(raw(b"HTTP/1.0 200 OK\r\n\r\nto the end"), long) as server:
        assert client.fetch(server.url(), 100, allow=LOOPBACK) == client.FetchResult(
            b"to the end", "", ""
        )
        assert client.fetch(server.url(), 100, allow=LOOPBACK) == client.FetchResult(b"x", "", "")


def test_a_server_is_reached_by_ipv6():
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        with receiving(answer(200, b"six"), host="::1") as server:
            result = client.fetch(server.url(host="[::1]"), 10, allow=LOOPBACK)
    except OSError:
        pytest.skip("no IPv6 on loopback")
    assert result.data == b"six"
    assert server.requests[0].headers["host"] == f"[::1]:{server.port}"


def test_loopback_is_refused_unless_it_is_allowed_and_nothing_is_sent():
    with receiving(answer(200)) as server:
        assert failure(server.url(), allow=()).code is ErrorCode.URL_REFUSED
        assert failure(server.url(host="localhost"), allow=()).code is ErrorCode.URL_REFUSED
        secure = server.url(host="localhost").replace("http", "https")
        assert failure(secure, allow=("other.example",)).code is ErrorCode.URL_REFUSED
        with pytest.raises(PermanentError) as caught:
            client.post(secure, b"", {})
        assert caught.value.code is ErrorCode.URL_REFUSED
    assert server.requests == []


# names are resolved once


def test_a_name_is_not_resolved_again_after_the_check(monkeypatch):
    looked_up = resolving(monkeypatch, ["93.184.216.34"], ["127.0.0.1"])
    reached = []

    class Recorded(socket.socket):
        def connect(self, address):
            reached.append(address)
            raise ConnectionRefusedError

    monkeypatch.setattr(client, "socket", Recorded)
    error = failure("https://example.com/sesame", allow=())
    assert error.code is ErrorCode.URL_UNAVAILABLE
    assert reached == [("93.184.216.34", 443)]
    assert looked_up == ["example.com"]


def test_one_lookup_serves_the_whole_exchange(monkeypatch):
    with receiving(answer(200, b"once")) as server:
        looked_up = resolving(monkeypatch, ["127.0.0.1"])
        result = client.fetch(server.url(host="shop.example"), 10, allow=("shop.example",))
    assert result.data == b"once"
    assert looked_up == ["shop.example"]
    assert server.requests[0].headers["host"] == f"shop.example:{server.port}"


def test_the_next_address_is_tried_if_one_accepts_no_connection(monkeypatch):
    with receiving(answer(200, b"second")) as server:
        resolving(monkeypatch, ["127.9.9.9", "127.0.0.1"])
        result = client.fetch(server.url(host="shop.example"), 10, allow=LOOPBACK)
    assert result.data == b"second"


def test_a_failed_lookup_is_retryable(monkeypatch):
    resolving(monkeypatch)
    error = failure("https://shop.example/sesame", allow=("shop.example",))
    assert isinstance(error, RetryableError)
    assert error.code is ErrorCode.URL_UNAVAILABLE


def test_a_proxy_of_the_environment_is_not_used(monkeypatch):
    with receiving(answer(200, b"the proxy")) as proxy, receiving(answer(200, b"direct")) as server:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url())
            monkeypatch.setenv(name.upper(), proxy.url())
        assert client.fetch(server.url(), 10, allow=LOOPBACK).data == b"direct"
    assert proxy.requests == []


# redirects


def test_three_redirects_are_followed_and_no_more():
    redirects = [answer(302, Location=f"/{n}") for n in range(4)]
    with receiving(*redirects[:3], answer(200, b"there")) as server:
        assert client.fetch(server.url(), 10, allow=LOOPBACK).data == b"there"
    assert [request.path for request in server.requests] == ["/", "/0", "/1", "/2"]
    with receiving(*redirects) as server:
        assert failure(server.url()).code is ErrorCode.URL_FAILED
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/", "https://169.254.169.254/sesame", "//10.0.0.1/", "http://[::2]/",
        "file:///etc/passwd", "gopher://127.0.0.1/", "https://user:sesame@127.0.0.1/",
        "http://[sesame", "https://[::ffff:169.254.169.254]/", "http://0xa9fea9fe/",
    ],
)  # fmt: skip
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_checked_like_the_first_url(location: str, status: int):
    with receiving(answer(status, Location=location)) as server:
        assert failure(server.url()).code is ErrorCode.URL_REFUSED
    assert len(server.requests) == 1


def test_a_redirect_without_a_location_fails(monkeypatch):
    with receiving(answer(302)) as server:
        assert failure(server.url()).code is ErrorCode.URL_FAILED


def test_a_name_is_resolved_and_checked_again_at_each_redirect(monkeypatch):
    with receiving(answer(302, Location="/again")) as server:
        looked_up = resolving(monkeypatch, ["127.0.0.1"], ["10.0.0.1"])
        error = failure(server.url(host="shop.example"), allow=("127.0.0.0/8",))
    assert error.code is ErrorCode.URL_REFUSED
    assert looked_up == ["shop.example"] * 2


# statuses


@pytest.mark.parametrize("status", [204, 206, 300, 304, 400, 401, 403, 404, 410, 418])
def test_other_statuses_than_200_are_permanent(status: int):
    with receiving(answer(status)) as server:
        error = failure(server.url("/sesame"))
    assert isinstance(error, PermanentError)
    assert error.code is ErrorCode.URL_FAILED
    assert f"127.0.0.1 answered {status}" in str(error)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_statuses_that_may_pass_are_retryable(status: int):
    with receiving(answer(status)) as server:
        error = failure(server.url("/sesame"))
    assert isinstance(error, RetryableError)
    assert error.code is ErrorCode.URL_UNAVAILABLE


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\r\n\r\n", b"SSH-2.0-OpenSSH_9\r\n", b"HTTP/1.1 sesame\r\n\r\n", b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 200,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nsesame\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n",
    ],
)  # fmt: skip
def test_a_malformed_response_is_retryable(data: bytes):
    with receiving(raw(data)) as server:
        assert failure(server.url("/sesame")).code is ErrorCode.URL_UNAVAILABLE


# sizes


def test_a_file_of_exactly_the_limit_is_fetched_and_a_larger_one_is_not():
    with receiving(answer(200, b"x" * 200_000)) as server:
        assert len(client.fetch(server.url(), 200_000, allow=LOOPBACK).data) == 200_000
        assert failure(server.url("/sesame"), 199_999).code is ErrorCode.TOO_MANY_BYTES


def test_a_content_length_over_the_limit_is_refused_before_the_body():
    with receiving(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n")) as server:
        assert failure(server.url()).code is ErrorCode.TOO_MANY_BYTES


@pytest.mark.parametrize(
    "head", [b"", b"Content-Length: -1\r\n", b"Content-Length: x\r\n", b"Content-Length: 1e9\r\n"]
)
def test_a_body_without_a_valid_length_is_capped_while_it_is_read(head: bytes):
    def endless(link: socket.socket, _) -> None:
        link.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")
        while True:
            link.sendall(b"x" * 10_000)

    with receiving(endless) as server:
        assert failure(server.url(), 100_000).code is ErrorCode.TOO_MANY_BYTES


def test_endless_chunks_are_capped():
    def endless(link: socket.socket, _) -> None:
        link.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            link.sendall(b"3e8\r\n" + b"x" * 1000 + b"\r\n")

    with receiving(endless) as server:
        assert failure(server.url(), 100_000).code is ErrorCode.TOO_MANY_BYTES


def test_a_chunk_of_negative_length_is_capped_too():
    def endless(link: socket.socket, _) -> None:
        link.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n")
        while True:
            link.sendall(b"x" * 10_000)

    with receiving(endless) as server:
        assert failure(server.url(), 100_000).code is ErrorCode.TOO_MANY_BYTES


def test_a_chunk_that_claims_gigabytes_allocates_no_memory():
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\nabc"
    with receiving(raw(head)) as server:
        assert failure(server.url(), 1000).code is ErrorCode.URL_UNAVAILABLE


def test_a_body_shorter_than_its_length_is_retryable():
    with receiving(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")) as server:
        assert failure(server.url()).code is ErrorCode.URL_UNAVAILABLE


def test_bytes_beyond_the_content_length_are_ignored():
    with receiving(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhalf and more")) as server:
        assert client.fetch(server.url(), 100, allow=LOOPBACK).data == b"half"


def test_a_compressed_body_is_not_decompressed():
    bomb = gzip.compress(b"\0" * 10_000_000)
    with receiving(answer(200, bomb, Content_Encoding="gzip")) as server:
        assert client.fetch(server.url(), 100_000, allow=LOOPBACK).data == bomb


# time


def dripping(head: bytes, drop: bytes):
    def drip(link: socket.socket, _) -> None:
        link.sendall(head)
        while True:
            time.sleep(0.1)
            link.sendall(drop)

    return drip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0", b"0"),
    ],
)
@pytest.mark.parametrize("secure", [False, True])
def test_a_server_that_sends_slowly_is_ended_at_the_deadline(tmp_path, head, drop, secure: bool):
    server_side, client_side = tls(tmp_path, "127.0.0.1") if secure else (None, None)
    began = time.monotonic()
    with receiving(dripping(head, drop), context=server_side) as server:
        error = failure(server.url("/sesame"), seconds=0.6, context=client_side)
    assert error.code is ErrorCode.URL_UNAVAILABLE
    assert "too long" in str(error)
    assert time.monotonic() - began < 30


@pytest.mark.slow
def test_redirects_share_one_deadline():
    def slow(link: socket.socket, request) -> None:
        time.sleep(0.4)
        answer(302, Location="/on")(link, request)

    with receiving(slow) as server:
        assert failure(server.url(), seconds=0.6).code is ErrorCode.URL_UNAVAILABLE
    assert len(server.requests) == 2


def silent(link: socket.socket, _) -> None:
    time.sleep(5)


def test_a_silent_server_is_ended_at_the_deadline():
    with receiving(silent) as server:
        assert "too long" in str(failure(server.url(), seconds=0.3))


@pytest.mark.slow
def test_an_endless_handshake_is_ended_at_the_deadline():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            link, _ = listener.accept()
            link.sendall(b"\x16\x03\x03\x3f\xff")
            try:
                while True:
                    link.sendall(b"\x02")
                    time.sleep(0.1)
            except OSError:
                link.close()

        thread = threading.Thread(target=drip)
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        assert failure(url, seconds=0.6).code is ErrorCode.URL_UNAVAILABLE
        thread.join(5)


def test_no_thread_is_left_behind():
    before = threading.active_count()
    with receiving(answer(200, b"x"), answer(404), raw(b"")) as server:
        client.fetch(server.url(), 10, allow=LOOPBACK)
        failure(server.url())
        failure(server.url())
    until = time.monotonic() + 2
    while threading.active_count() > before and time.monotonic() < until:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_a_closed_port_is_unavailable():
    with receiving(answer(200)) as server:
        pass
    error = failure(server.url("/sesame"))
    assert error.code is ErrorCode.URL_UNAVAILABLE
    assert "accepts no connection" in str(error)


# certificates


def test_a_self_signed_certificate_is_refused_unless_it_is_trusted(tmp_path):
    server_side, client_side = tls(tmp_path, "127.0.0.1")
    with receiving(answer(200, b"secret"), context=server_side) as server:
        error = failure(server.url("/sesame"))
        assert isinstance(error, PermanentError)
        assert error.code is ErrorCode.URL_FAILED
        with pytest.raises(PermanentError) as caught:
            client.post(server.url(), b"body", {}, allow=LOOPBACK)
        assert caught.value.code is ErrorCode.URL_FAILED
        assert server.requests == []
        result = client.fetch(server.url(), 10, allow=LOOPBACK, context=client_side)
        assert result.data == b"secret"
        assert client.post(server.url(), b"body", {}, allow=LOOPBACK, context=client_side) == 200


def test_the_certificate_and_sni_are_checked_for_the_name_not_the_address(tmp_path, monkeypatch):
    server_side, client_side = tls(tmp_path, "shop.example")
    sni_names: list[str | None] = []
    server_side.sni_callback = lambda _link, name, _context: sni_names.append(name)

    def fetch(host: str) -> Receiver:
        resolving(monkeypatch, ["127.0.0.1"])
        with receiving(answer(200), context=server_side) as server:
            client.fetch(server.url(host=host), 10, allow=LOOPBACK, context=client_side)
        return server

    assert fetch("shop.example").requests[0].headers["host"].startswith("shop.example:")
    for other in ("other.example", "127.0.0.1", "x.shop.example"):
        with pytest.raises(PermanentError) as caught:
            fetch(other)
        assert caught.value.code is ErrorCode.URL_FAILED
    assert sni_names == ["shop.example", "other.example", None, "x.shop.example"]


def test_https_to_a_server_of_http_is_unavailable():
    with receiving(answer(200)) as server:
        error = failure(server.url().replace("http", "https"), seconds=2)
    assert error.code is ErrorCode.URL_UNAVAILABLE


def test_old_tls_and_unverified_certificates_are_refused():
    assert client._ssl_context().minimum_version >= ssl.TLSVersion.TLSv1_2
    assert client._ssl_context().verify_mode is ssl.CERT_REQUIRED
    assert client._ssl_context().check_hostname


# post


@pytest.mark.parametrize("status", [200, 202, 204, 301, 302, 307, 400, 404, 410, 429, 500, 503])
def test_a_post_returns_the_status_and_follows_no_redirect(status: int):
    with receiving(answer(status, b"ignored" * 1000, Location="/elsewhere")) as server:
        headers = {"Content-Type": "application/json", "webhook-id": "m"}
        assert client.post(server.url("/in?x=1"), b'{"a":1}', headers, allow=LOOPBACK) == status
    assert len(server.requests) == 1
    request = server.requests[0]
    assert (request.method, request.path, request.body) == ("POST", "/in?x=1", b'{"a":1}')
    assert request.headers["webhook-id"] == "m"
    assert request.headers["content-length"] == "7"


@pytest.mark.slow
def test_a_post_to_a_server_that_does_not_answer_or_read_is_ended_at_the_deadline():
    with receiving(silent) as server, pytest.raises(RetryableError):
        client.post(server.url("/sesame"), b"x", {}, allow=LOOPBACK, seconds=0.3)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/sesame"
        with pytest.raises(RetryableError) as caught:
            client.post(url, b"x" * 50_000_000, {}, allow=LOOPBACK, seconds=0.3)
    assert SECRET not in str(caught.value)
