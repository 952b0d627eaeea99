"""The guard against real servers on loopback, most of which mean harm."""

import gzip
import socket
import ssl
import threading
import time

import pytest
from support.receivers import Receiver, answer, raw, receiving, tls

from contract.errors import CutoutError, ErrorCode, PermanentError, RetryableError
from contract.safe_http import client

HERE = ("127.0.0.0/8", "::1")
HIDDEN = "sesame"


def failure(
    url: str, max_bytes: int = 1000, seconds: float = 5, allow=HERE, context=None
) -> CutoutError:
    with pytest.raises(CutoutError) as caught:
        client.fetch(url, max_bytes, allow=allow, seconds=seconds, context=context)
    assert HIDDEN not in str(caught.value)
    assert caught.value.__cause__ is None
    return caught.value


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Let the resolver give these answers in turn, then fail; return the hosts asked for."""
    asked: list[str] = []
    turns = iter(answers)

    def getaddrinfo(host, port, *_, **__):
        asked.append(host)
        found = next(turns, None)
        if found is None:
            raise socket.gaierror
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (place, port)) for place in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_a_file_is_fetched_with_its_etag_and_type():
    script = answer(200, b"bytes", ETag='W/"abc"', Content_Type="Image/JPEG; q=1")
    with receiving(script) as server:
        found = client.fetch(server.url("/a%20b?s=1"), 5, allow=HERE)
    assert found == client.FetchResult(b"bytes", "abc", "image/jpeg")
    request = server.requests[0]
    assert (request.method, request.path) == ("GET", "/a%20b?s=1")
    assert request.headers["host"] == f"127.0.0.1:{server.port}"
    assert request.headers["accept-encoding"] == "identity"


def test_what_a_server_does_not_say_is_empty_and_what_is_absurd_too():
    long = answer(200, b"x", ETag="e" * 300, Content_Type="\u00fc")
    with receiving(raw(b"HTTP/1.0 200 OK\r\n\r\nto the end"), long) as server:
        assert client.fetch(server.url(), 100, allow=HERE) == client.FetchResult(
            b"to the end", "", ""
        )
        assert client.fetch(server.url(), 100, allow=HERE) == client.FetchResult(b"x", "", "")


def test_a_server_on_ipv6_is_reached():
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        with receiving(answer(200, b"six"), host="::1") as server:
            found = client.fetch(server.url(host="[::1]"), 10, allow=HERE)
    except OSError:
        pytest.skip("no IPv6 on loopback")
    assert found.data == b"six"
    assert server.requests[0].headers["host"] == f"[::1]:{server.port}"


def test_loopback_is_refused_unless_it_is_named_and_nothing_is_sent():
    with receiving(answer(200)) as server:
        assert failure(server.url(), allow=()).code is ErrorCode.URL_REFUSED
        assert failure(server.url(host="localhost"), allow=()).code is ErrorCode.URL_REFUSED
        secure = server.url(host="localhost").replace("http", "https")
        assert failure(secure, allow=("other.example",)).code is ErrorCode.URL_REFUSED
        with pytest.raises(PermanentError) as caught:
            client.post(secure, b"", {})
        assert caught.value.code is ErrorCode.URL_REFUSED
    assert server.requests == []


# DNS has one say


def test_a_name_that_turns_private_after_the_check_is_not_asked_for_again(monkeypatch):
    asked = resolving(monkeypatch, ["93.184.216.34"], ["127.0.0.1"])
    reached = []

    class Recorded(socket.socket):
        def connect(self, place):
            reached.append(place)
            raise ConnectionRefusedError

    monkeypatch.setattr(client, "socket", Recorded)
    error = failure("https://example.com/sesame", allow=())
    assert error.code is ErrorCode.URL_UNAVAILABLE
    assert reached == [("93.184.216.34", 443)]
    assert asked == ["example.com"]


def test_one_answer_of_dns_serves_the_whole_exchange(monkeypatch):
    with receiving(answer(200, b"once")) as server:
        asked = resolving(monkeypatch, ["127.0.0.1"])
        found = client.fetch(server.url(host="shop.example"), 10, allow=("shop.example",))
    assert found.data == b"once"
    assert asked == ["shop.example"]
    assert server.requests[0].headers["host"] == f"shop.example:{server.port}"


def test_the_next_address_is_tried_where_one_takes_no_connection(monkeypatch):
    with receiving(answer(200, b"second")) as server:
        resolving(monkeypatch, ["127.9.9.9", "127.0.0.1"])
        found = client.fetch(server.url(host="shop.example"), 10, allow=HERE)
    assert found.data == b"second"


def test_nothing_is_asked_where_dns_fails(monkeypatch):
    resolving(monkeypatch)
    error = failure("https://shop.example/sesame", allow=("shop.example",))
    assert isinstance(error, RetryableError)
    assert error.code is ErrorCode.URL_UNAVAILABLE


def test_a_proxy_of_the_environment_is_not_used(monkeypatch):
    with receiving(answer(200, b"the proxy")) as proxy, receiving(answer(200, b"direct")) as server:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url())
            monkeypatch.setenv(name.upper(), proxy.url())
        assert client.fetch(server.url(), 10, allow=HERE).data == b"direct"
    assert proxy.requests == []


# redirects


def test_three_redirects_are_followed_and_no_more():
    here = [answer(302, Location=f"/{n}") for n in range(4)]
    with receiving(*here[:3], answer(200, b"there")) as server:
        assert client.fetch(server.url(), 10, allow=HERE).data == b"there"
    assert [request.path for request in server.requests] == ["/", "/0", "/1", "/2"]
    with receiving(*here) as server:
        assert failure(server.url()).code is ErrorCode.URL_FAILED
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    "place",
    [
        "http://169.254.169.254/", "https://169.254.169.254/sesame", "//10.0.0.1/", "http://[::2]/",
        "file:///etc/passwd", "gopher://127.0.0.1/", "https://user:sesame@127.0.0.1/",
        "http://[sesame", "https://[::ffff:169.254.169.254]/", "http://0xa9fea9fe/",
    ],
)  # fmt: skip
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_checked_like_the_first(place: str, status: int):
    with receiving(answer(status, Location=place)) as server:
        assert failure(server.url()).code is ErrorCode.URL_REFUSED
    assert len(server.requests) == 1


def test_a_redirect_that_names_no_place_ends(monkeypatch):
    with receiving(answer(302)) as server:
        assert failure(server.url()).code is ErrorCode.URL_FAILED


def test_a_name_is_resolved_and_checked_anew_at_each_redirect(monkeypatch):
    with receiving(answer(302, Location="/again")) as server:
        asked = resolving(monkeypatch, ["127.0.0.1"], ["10.0.0.1"])
        error = failure(server.url(host="shop.example"), allow=("127.0.0.0/8",))
    assert error.code is ErrorCode.URL_REFUSED
    assert asked == ["shop.example"] * 2


# statuses


@pytest.mark.parametrize("status", [204, 206, 300, 304, 400, 401, 403, 404, 410, 418])
def test_what_is_not_200_is_final(status: int):
    with receiving(answer(status)) as server:
        error = failure(server.url("/sesame"))
    assert isinstance(error, PermanentError)
    assert error.code is ErrorCode.URL_FAILED
    assert f"127.0.0.1 answered {status}" in str(error)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_what_time_may_mend_is_tried_again(status: int):
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
def test_what_is_no_http_is_an_error_of_ours(data: bytes):
    with receiving(raw(data)) as server:
        assert failure(server.url("/sesame")).code is ErrorCode.URL_UNAVAILABLE


# sizes


def test_a_file_of_exactly_the_limit_is_fetched_and_one_more_byte_is_not():
    with receiving(answer(200, b"x" * 200_000)) as server:
        assert len(client.fetch(server.url(), 200_000, allow=HERE).data) == 200_000
        assert failure(server.url("/sesame"), 199_999).code is ErrorCode.TOO_MANY_BYTES


def test_a_length_that_is_too_long_ends_it_before_the_body():
    with receiving(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n")) as server:
        assert failure(server.url()).code is ErrorCode.TOO_MANY_BYTES


@pytest.mark.parametrize(
    "head", [b"", b"Content-Length: -1\r\n", b"Content-Length: x\r\n", b"Content-Length: 1e9\r\n"]
)
def test_a_body_without_a_true_length_is_capped_while_it_is_read(head: bytes):
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


def test_a_chunk_of_negative_length_does_not_lift_the_cap():
    def endless(link: socket.socket, _) -> None:
        link.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n")
        while True:
            link.sendall(b"x" * 10_000)

    with receiving(endless) as server:
        assert failure(server.url(), 100_000).code is ErrorCode.TOO_MANY_BYTES


def test_a_chunk_that_claims_gigabytes_takes_no_memory():
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\nabc"
    with receiving(raw(head)) as server:
        assert failure(server.url(), 1000).code is ErrorCode.URL_UNAVAILABLE


def test_a_body_shorter_than_promised_is_no_file():
    with receiving(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")) as server:
        assert failure(server.url()).code is ErrorCode.URL_UNAVAILABLE


def test_bytes_beyond_the_promised_length_are_left():
    with receiving(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhalf and more")) as server:
        assert client.fetch(server.url(), 100, allow=HERE).data == b"half"


def test_a_bomb_is_not_unpacked():
    bomb = gzip.compress(b"\0" * 10_000_000)
    with receiving(answer(200, bomb, Content_Encoding="gzip")) as server:
        assert client.fetch(server.url(), 100_000, allow=HERE).data == bomb


# time


def dripping(head: bytes, drop: bytes):
    def drip(link: socket.socket, _) -> None:
        link.sendall(head)
        while True:
            time.sleep(0.1)
            link.sendall(drop)

    return drip


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
def test_a_slow_drip_ends_at_the_limit_wherever_it_drips(tmp_path, head, drop, secure: bool):
    server_side, client_side = tls(tmp_path, "127.0.0.1") if secure else (None, None)
    began = time.monotonic()
    with receiving(dripping(head, drop), context=server_side) as server:
        error = failure(server.url("/sesame"), seconds=0.6, context=client_side)
    assert error.code is ErrorCode.URL_UNAVAILABLE
    assert "too long" in str(error)
    assert time.monotonic() - began < 3


def test_redirects_share_one_limit():
    def slow(link: socket.socket, request) -> None:
        time.sleep(0.4)
        answer(302, Location="/on")(link, request)

    with receiving(slow) as server:
        assert failure(server.url(), seconds=0.6).code is ErrorCode.URL_UNAVAILABLE
    assert len(server.requests) == 2


def silent(link: socket.socket, _) -> None:
    time.sleep(5)


def test_a_server_that_says_nothing_ends_at_the_limit():
    with receiving(silent) as server:
        assert "too long" in str(failure(server.url(), seconds=0.3))


def test_a_handshake_that_never_ends_ends_at_the_limit():
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


def test_no_thread_and_no_socket_is_left():
    before = threading.active_count()
    with receiving(answer(200, b"x"), answer(404), raw(b"")) as server:
        client.fetch(server.url(), 10, allow=HERE)
        failure(server.url())
        failure(server.url())
    until = time.monotonic() + 2
    while threading.active_count() > before and time.monotonic() < until:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_a_port_where_nobody_listens_is_unavailable():
    with receiving(answer(200)) as server:
        pass
    error = failure(server.url("/sesame"))
    assert error.code is ErrorCode.URL_UNAVAILABLE
    assert "takes no connection" in str(error)


# certificates


def test_a_self_signed_certificate_is_refused_unless_it_is_trusted(tmp_path):
    server_side, client_side = tls(tmp_path, "127.0.0.1")
    with receiving(answer(200, b"secret"), context=server_side) as server:
        error = failure(server.url("/sesame"))
        assert isinstance(error, PermanentError)
        assert error.code is ErrorCode.URL_FAILED
        with pytest.raises(PermanentError) as caught:
            client.post(server.url(), b"body", {}, allow=HERE)
        assert caught.value.code is ErrorCode.URL_FAILED
        assert server.requests == []
        found = client.fetch(server.url(), 10, allow=HERE, context=client_side)
        assert found.data == b"secret"
        assert client.post(server.url(), b"body", {}, allow=HERE, context=client_side) == 200


def test_the_certificate_and_sni_are_for_the_name_and_not_the_address(tmp_path, monkeypatch):
    server_side, client_side = tls(tmp_path, "shop.example")
    named: list[str | None] = []
    server_side.sni_callback = lambda _link, name, _context: named.append(name)

    def ask(host: str) -> Receiver:
        resolving(monkeypatch, ["127.0.0.1"])
        with receiving(answer(200), context=server_side) as server:
            client.fetch(server.url(host=host), 10, allow=HERE, context=client_side)
        return server

    assert ask("shop.example").requests[0].headers["host"].startswith("shop.example:")
    for other in ("other.example", "127.0.0.1", "x.shop.example"):
        with pytest.raises(PermanentError) as caught:
            ask(other)
        assert caught.value.code is ErrorCode.URL_FAILED
    assert named == ["shop.example", "other.example", None, "x.shop.example"]


def test_https_that_meets_http_is_no_answer():
    with receiving(answer(200)) as server:
        error = failure(server.url().replace("http", "https"), seconds=2)
    assert error.code is ErrorCode.URL_UNAVAILABLE


def test_old_tls_is_not_spoken():
    assert client._trust().minimum_version >= ssl.TLSVersion.TLSv1_2
    assert client._trust().verify_mode is ssl.CERT_REQUIRED
    assert client._trust().check_hostname


# post


@pytest.mark.parametrize("status", [200, 202, 204, 301, 302, 307, 400, 404, 410, 429, 500, 503])
def test_a_post_returns_its_status_and_follows_nothing(status: int):
    with receiving(answer(status, b"ignored" * 1000, Location="/elsewhere")) as server:
        headers = {"Content-Type": "application/json", "webhook-id": "m"}
        assert client.post(server.url("/in?x=1"), b'{"a":1}', headers, allow=HERE) == status
    assert len(server.requests) == 1
    request = server.requests[0]
    assert (request.method, request.path, request.body) == ("POST", "/in?x=1", b'{"a":1}')
    assert request.headers["webhook-id"] == "m"
    assert request.headers["content-length"] == "7"


def test_a_post_into_silence_and_into_a_socket_that_reads_nothing_end_at_the_limit():
    with receiving(silent) as server, pytest.raises(RetryableError):
        client.post(server.url("/sesame"), b"x", {}, allow=HERE, seconds=0.3)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/sesame"
        with pytest.raises(RetryableError) as caught:
            client.post(url, b"x" * 50_000_000, {}, allow=HERE, seconds=0.3)
    assert HIDDEN not in str(caught.value)
