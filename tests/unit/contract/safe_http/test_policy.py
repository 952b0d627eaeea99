import ipaddress
import socket
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as some

from contract.errors import CutoutError, ErrorCode, PermanentError, RetryableError
from contract.safe_http.policy import allowed_entry, host_of, is_public, resolve_target

SECRET = "sesame"


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch):
    """A resolver with a table of hosts; addresses in any spelling go to the real one.

    Yields the table and the list of hosts that were looked up.
    """
    table: dict[str, list[str]] = {}
    looked_up: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host, port, *args, **options):
        looked_up.append(host)
        if host not in table:
            options["flags"] = socket.AI_NUMERICHOST
            return real(host, port, *args, **options)
        rows = []
        for address in table[host]:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            rows.append((family, socket.SOCK_STREAM, 6, "", (address, port)))
        return rows

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return table, looked_up


def refused(url: str, allow=()) -> PermanentError:
    with pytest.raises(PermanentError) as caught:
        resolve_target(url, allow, 5)
    assert caught.value.code is ErrorCode.URL_REFUSED
    assert SECRET not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104
        "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1",
        "127.255.255.254", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1",
        "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1",
        "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
        "168.63.129.16",
        "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:0:10.0.0.1",
        "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1",
        "64:ff9b:1::8.8.8.8", "100::1", "2001::1", "2001:0:808:808::1", "2001:db8::1",
        "2001:10::1", "2002:7f00:1::", "2002:a9fe:a9fe::", "2002:808:808::", "3fff::1",
        "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%1", "fec0::1", "ff02::1",
        "ff0e::1",
    ],
)  # fmt: skip
def test_an_address_that_is_not_globally_routable_is_not_public(address: str):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8", "1.1.1.1", "93.184.216.34", "100.63.255.255", "100.128.0.1", "172.32.0.1",
        "2606:4700::1111", "2a00:1450:4001::1", "2001:4860:4860::8888", "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
    ],
)  # fmt: skip
def test_a_globally_routable_address_is_public(address: str):
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/", "https://2130706433/", "https://0x7f.1/", "https://0x7f000001/",
        "https://0177.0.0.1/", "https://127.1/", "https://0/", "https://127.0.0.1.:443/",
        "https://169.254.169.254/latest/meta-data/", "https://0xa9fea9fe/", "https://2852039166/",
        "https://[::1]/", "https://[::]/", "https://[::ffff:7f00:1]/", "https://[fd00:ec2::254]/",
        "https://[64:ff9b::a9fe:a9fe]/", "https://[2002:7f00:1::]/", "https://[2001::1]/",
        "https://\uff11\uff12\uff17.0.0.1/", "https://\u2460\u2461\u2466.0.0.1/",
        "https://127\u30020\u30020\u30021/", "https://127.0.0.1#@example.com/",
    ],
)  # fmt: skip
def test_a_private_address_is_refused_in_any_spelling(dns, url: str):
    assert "not public" in str(refused(url))


@pytest.mark.parametrize(
    "url",
    [
        "", "https", "https:", "https:/", "https://", "https:///x", "//example.com/", "example.com",
        "file:///etc/passwd", "gopher://example.com/", "ftp://example.com/", "data:,x",
        "redis://example.com/", "http://example.com/sesame",
        "https://user@example.com/", "https://user:sesame@example.com/", "https://@example.com/",
        "https://example.com@127.0.0.1/",
        "https://exam\nple.com/", "https://example.com/\r\nHost: x", "https://example.com/\tsesame",
        " https://example.com/", "https://example.com/a b", "https://example.com\\@127.0.0.1/",
        "https://example.com/\x00", "https://example.com/\x7f", "https://example.com/\u202e",
        "https://example.com/\u2028", "https://example.com/\x85",
        "https://example.com:0/", "https://example.com:65536/", "https://example.com:-1/",
        "https://example.com:x/", "https://example.com:443:443/", "https://example.com:\u0661/",
        "https://[::1/", "https://::1/", "https://[::1]x/", "https://x[::1]/", "https://[v1.a]/",
        "https://[fe80::1%25eth0]/", "https://[127.0.0.1]/", "https://[]/",
        "https://-example.com/", "https://.example.com/", "https://exa..mple.com/",
        "https://" + "a" * 64 + ".com/", "https://" + "a." * 200 + "com/", "https://ex%61mple.com/",
        "https://exa\u200dmple.com/", "https://fa\xdf.de/", "https://exa!mple.com/",
        "https://\ud800.com/", "https://example.com/\ud800", "https://a\u2100b.com/",
    ],
)  # fmt: skip
def test_a_url_that_is_not_plain_https_is_refused_before_a_lookup(dns, url: str):
    table, looked_up = dns
    table["example.com"] = ["93.184.216.34"]
    refused(url)
    assert looked_up == []


def test_a_public_host_is_resolved_once_to_the_checked_addresses(dns):
    table, looked_up = dns
    table["example.com"] = ["93.184.216.34", "2606:4700::1111"]
    target = resolve_target("https://EXAMPLE.com./a%20b?Signature=x#part", (), 5)
    assert (target.secure, target.host, target.port) == (True, "example.com", 443)
    assert target.path == "/a%20b?Signature=x"
    assert [address[:2] for _, address in target.sockets] == [
        ("93.184.216.34", 443), ("2606:4700::1111", 443)
    ]  # fmt: skip
    assert looked_up == ["example.com"]


def test_a_host_with_one_private_address_is_refused(dns):
    table, _ = dns
    table["example.com"] = ["93.184.216.34", "10.0.0.1"]
    assert "example.com" in str(refused("https://example.com/sesame?sesame"))


def test_any_port_is_allowed_and_appears_in_the_host_header(dns):
    table, _ = dns
    table["example.com"] = ["93.184.216.34"]
    assert resolve_target("https://example.com:8443/", (), 5).authority == "example.com:8443"
    assert resolve_target("https://example.com:443/", (), 5).authority == "example.com"
    assert resolve_target("https://example.com:/", (), 5).authority == "example.com"
    assert (
        resolve_target("http://example.com:443/", ["example.com"], 5).authority == "example.com:443"
    )
    assert (
        resolve_target("https://[2606:4700::1111]:8443/", (), 5).authority
        == "[2606:4700::1111]:8443"
    )


def test_unicode_names_become_idna_and_paths_are_percent_encoded(dns):
    table, looked_up = dns
    table["xn--bcher-kva.example"] = ["93.184.216.34"]
    target = resolve_target("https://B\xfccher.example/sch\xf6n?q=%C3%B6", (), 5)
    assert (target.host, target.path) == ("xn--bcher-kva.example", "/sch%C3%B6n?q=%C3%B6")
    assert looked_up == ["xn--bcher-kva.example"]


def test_an_allowed_host_may_be_private_and_http(dns):
    table, _ = dns
    for label in ("", "other.", "x."):
        table[f"{label}receiver.internal"] = ["10.0.0.1"]
    for entry in ("receiver.internal", "Receiver.Internal", "10.0.0.0/8", "10.0.0.1"):
        assert resolve_target("https://receiver.internal/", [entry], 5).host == "receiver.internal"
        assert not resolve_target("http://receiver.internal/", [entry], 5).secure
    refused("https://other.receiver.internal/", ["receiver.internal"])
    refused("http://other.receiver.internal/", ["receiver.internal"])
    refused("https://x.receiver.internal/", ["receiver.internal"])
    refused("https://receiver.internal/", ["10.1.0.0/16"])


def test_http_is_allowed_only_if_every_address_is_in_an_allowed_network(dns):
    table, _ = dns
    table["example.com"] = ["93.184.216.34"]
    table["both.internal"] = ["93.184.216.34", "10.0.0.1"]
    assert resolve_target("https://both.internal/", ["10.0.0.0/8"], 5)
    refused("http://both.internal/", ["10.0.0.0/8"])
    assert "http" in str(refused("http://example.com/", ["10.0.0.0/8", "other.example"]))


def test_an_allowed_network_applies_to_addresses_in_any_spelling(dns):
    assert resolve_target("https://[::ffff:10.0.0.1]/", ["10.0.0.0/8"], 5)
    assert resolve_target("https://0xa.1/", ["10.0.0.0/8"], 5)
    refused("https://[::ffff:127.0.0.1]/", ["10.0.0.0/8"])


def test_a_name_without_an_address_is_retryable(dns):
    for host in ("nowhere.example", "1.2.3.4.5"):
        with pytest.raises(RetryableError, match=host) as caught:
            resolve_target(f"https://{host}/sesame?sesame", (), 5)
        assert caught.value.code is ErrorCode.URL_UNAVAILABLE
        assert SECRET not in str(caught.value)


def test_an_empty_lookup_is_retryable(dns):
    table, _ = dns
    table["example.com"] = []
    with pytest.raises(RetryableError):
        resolve_target("https://example.com/", (), 5)


def test_a_resolver_that_hangs_is_abandoned_after_the_timeout(monkeypatch: pytest.MonkeyPatch):
    goes_on = threading.Event()

    def hang(*_, **__) -> list:
        goes_on.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    began = time.monotonic()
    with pytest.raises(RetryableError):
        resolve_target("https://example.com/", (), 0.2)
    assert time.monotonic() - began < 30
    goes_on.set()


@pytest.mark.parametrize("entry", ["", "10.0.0.0/33", "a/b", "https://x", "user@x", "x y", "*.x"])
def test_an_entry_that_is_neither_host_nor_network_is_invalid(entry: str):
    with pytest.raises(ValueError, match=r"."):
        allowed_entry(entry)


def test_the_host_is_the_part_of_a_url_that_may_be_logged():
    assert host_of("https://example.com:8443/sesame?sesame") == "example.com"
    assert host_of("https://user:sesame@example.com/") == "?"
    assert host_of("sesame") == "?"


@given(some.text(max_size=40), some.sampled_from(["", "https://", "http://", "https://[", "//"]))
def test_no_text_raises_any_other_error(text: str, prefix: str):
    def none(*_, **__):
        raise socket.gaierror

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", none)
        with pytest.raises(CutoutError) as caught:
            resolve_target(prefix + text, (), 5)
    assert caught.value.code in {ErrorCode.URL_REFUSED, ErrorCode.URL_UNAVAILABLE}
