from pathlib import Path

import pytest

from contract.redis_address import RedisAddress, check_ca_file

ADDRESSES = {
    "redis://": RedisAddress((("localhost", 6379),)),
    "redis://redis.internal": RedisAddress((("redis.internal", 6379),)),
    "redis://redis:6380/3": RedisAddress((("redis", 6380),), database=3),
    "redis://[::1]:6380": RedisAddress((("::1", 6380),)),
    "redis://:p%40ss%2F%3A@redis/0": RedisAddress((("redis", 6379),), password="p@ss/:"),
    "redis://user:pass@redis": RedisAddress(
        (("redis", 6379),), username="user", password="pass"
    ),
    "rediss://redis:6380/1": RedisAddress((("redis", 6380),), database=1, tls=True),
    "unix:///run/redis.sock": RedisAddress(socket="/run/redis.sock"),
    "unix://:pass@/run/redis.sock?db=2": RedisAddress(
        socket="/run/redis.sock", database=2, password="pass"
    ),
    "sentinel://a/main": RedisAddress((("a", 26379),), master="main"),
    "sentinel://user:pass@a,b:26380,[::1]:7/main/4": RedisAddress(
        (("a", 26379), ("b", 26380), ("::1", 7)), username="user", password="pass", master="main",
        database=4,
    ),
    "sentinels://a,b/main": RedisAddress((("a", 26379), ("b", 26379)), master="main", tls=True),
}  # fmt: skip

REFUSED = (
    "", "redis", "http://redis", "redis+socket:///run/redis.sock", "redis://a,b",
    "redis://redis:port", "redis://redis:6379/zero", "redis://redis/-1", "redis://redis/0/1",
    "redis://:hunter2#@redis", "redis://:hunter2/@redis:6379/0", "redis://redis#hunter2",
    "unix://", "unix:///", "unix://host/run/redis.sock", "unix:///run/redis.sock?db=one",
    "sentinel://a", "sentinel://a/", "sentinel://a/main/zero", "sentinel://a/main/0/1",
    "sentinel://a:26379;sentinel://b:26379",
)  # fmt: skip


@pytest.mark.parametrize("url", ADDRESSES)
def test_a_url_is_parsed(url: str):
    assert RedisAddress.parse(url) == ADDRESSES[url]


@pytest.mark.parametrize("url", REFUSED)
def test_another_url_is_refused_without_being_shown(url: str):
    with pytest.raises(ValueError, match="write redis://") as caught:
        RedisAddress.parse(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("rediss://redis?ssl_cert_reqs=none", "always verified"),
        ("redis://redis?timeout=hunter2", "'timeout'"),
        ("redis://redis?db=1", "'db'"),
        ("unix:///run/redis.sock?password=hunter2", "'password'"),
    ],
)
def test_an_option_without_effect_is_named(url: str, sentence: str):
    with pytest.raises(ValueError, match=sentence) as caught:
        RedisAddress.parse(url)
    assert "hunter2" not in str(caught.value)


def test_an_address_does_not_show_its_passwords():
    address = RedisAddress.parse("sentinel://user:hunter2@a/main", None, "hunter3")
    assert (address.password, address.sentinel_password) == ("hunter2", "hunter3")
    assert "hunter" not in repr(address)


def test_a_file_of_certificates_is_checked(tmp_path: Path):
    with pytest.raises(ValueError, match="No such file"):
        check_ca_file(tmp_path / "missing.pem")
    (tmp_path / "text.pem").write_text("no certificate")
    with pytest.raises(ValueError, match="no certificate in PEM form"):
        check_ca_file(tmp_path / "text.pem")
