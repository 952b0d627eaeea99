import ssl

import pytest
from kombu import Connection
from support.services import RedisServer

from contract.broker import broker_options
from contract.errors import PermanentError
from contract.settings import Settings


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        ("redis://redis:6379/0", "redis://redis:6379/0"),
        ("redis://[::1]", "redis://[::1]:6379/0"),
        ("rediss://:s%2Fcret@redis:6380/1", "rediss://:s%2Fcret@redis:6380/1"),
        ("unix:///tmp/cutout/redis.sock", "redis+socket:///tmp/cutout/redis.sock"),
        ("unix:///tmp/redis.sock?db=3", "redis+socket:///tmp/redis.sock?virtual_host=3"),
        (
            "sentinels://user:pass@a,b:7/main/2",
            "sentinel://user:pass@a:26379/2;sentinel://user:pass@b:7/2",
        ),
    ],
)
def test_the_broker_is_the_redis_url_as_celery_spells_it(url: str, broker: str):
    config = Settings(redis_url=url)
    options = broker_options(config)
    assert options["broker_url"] == broker
    transport: dict = options["broker_transport_options"]
    assert transport["visibility_timeout"] == config.visibility_timeout
    assert transport["socket_keepalive"] is not url.startswith("unix")
    assert transport.get("master_name") == ("main" if "main" in url else None)


@pytest.mark.parametrize("scheme", ["rediss", "sentinels"])
def test_the_broker_verifies_the_certificate(scheme: str):
    options = broker_options(Settings(redis_url=f"{scheme}://redis/0"))
    assert options["broker_use_ssl"] == {
        "ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True, "ssl_ca_certs": None
    }  # fmt: skip


def test_sentinels_have_a_password_of_their_own():
    config = Settings(redis_url="sentinel://:redis@a/main", sentinel_password="sentinel")
    transport: dict = broker_options(config)["broker_transport_options"]
    assert transport["sentinel_kwargs"]["password"] == "sentinel"


def test_celery_connects_to_a_unix_socket(redis_server: RedisServer):
    url = f"{redis_server.url}?db=1"
    broker = str(broker_options(Settings(redis_url=url))["broker_url"])
    with Connection(broker) as connection:
        connection.ensure_connection(max_retries=1, timeout=5)
        connection.SimpleQueue("q").put("hello")
    with Connection(broker) as connection:
        assert connection.SimpleQueue("q").get(timeout=5).payload == "hello"


def test_a_broker_requires_a_redis_url():
    with pytest.raises(PermanentError, match="CUTOUT_REDIS_URL"):
        broker_options(Settings())
