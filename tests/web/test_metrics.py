"""The API's metrics: what is counted, and who may read it."""

from collections.abc import Iterator

import pytest
from support.scrape import Values, probed, scraped
from support.services import free_port, until
from support.serving import Server, jpeg, new_key, serving, within_one_minute

LIMIT = 6


@pytest.fixture
def guarded(quick_cluster, tmp_path) -> Iterator[tuple[Server, int]]:
    """A server that requires keys, and the port of its metrics."""
    port, keys = free_port(), tmp_path / "keys"
    key = new_key(quick_cluster, keys, "shop", "submit", "read")
    env = {
        "CUTOUT_API_KEYS": str(keys), "CUTOUT_METRICS_PORT": str(port),
        "CUTOUT_RATE_LIMIT_PER_MINUTE": str(LIMIT),
    }  # fmt: skip
    with serving(quick_cluster, tmp_path, **env) as server:
        server.client.headers["Authorization"] = f"Bearer {key}"
        yield server, port


def requests(values: Values, route: str) -> dict[str, float]:
    """Return how many requests a route answered, by status."""
    return {
        key[3]: value
        for key, value in values.items()
        if key[0] == "cutout_api_requests_total" and key[2] == route
    }


def test_requests_are_counted_by_route(guarded: tuple[Server, int], monkeypatch, tmp_path):
    server, port = guarded
    monkeypatch.setenv("CUTOUT_STATE_DIR", str(tmp_path))
    assert probed(port) == 200
    before = scraped(port)
    assert before["cutout_api_idempotent_replays_total",] == 0
    assert before["cutout_api_rate_limited_total",] == 0

    within_one_minute()
    key, photograph = {"Idempotency-Key": "order 1"}, jpeg()
    first = server.upload(photograph, headers=key)
    again = server.upload(photograph, headers=key)
    assert (first.status_code, again.status_code) == (202, 202)
    cutout = first.headers["location"]
    assert server.client.get(cutout).status_code == 200
    while server.client.get(f"{cutout}0").status_code != 429:
        pass

    def limited_is_counted() -> bool:  # a request is counted after its response was sent
        return "429" in requests(scraped(port), "/v1/cutouts/{cutout_id}")

    until(limited_is_counted)
    values = scraped(port)
    assert values["cutout_api_idempotent_replays_total",] == 1
    limited = values["cutout_api_rate_limited_total",]
    assert limited >= 1
    assert requests(values, "/v1/cutouts") == {"202": 2}
    statuses = requests(values, "/v1/cutouts/{cutout_id}")
    assert (statuses["200"], statuses["429"]) == (1, limited)
    count = ("cutout_api_request_seconds_count", "POST", "/v1/cutouts")
    assert values[count] == 2
    assert not any(cutout in part for key in values for part in key)


def test_the_public_port_does_not_show_them(guarded: tuple[Server, int]):
    server, port = guarded
    for path in ("/metrics", "/metrics/"):
        answer = server.client.get(path)
        assert answer.status_code == 404
        assert "cutout_api_requests" not in answer.text
    # the other port is for an internal network, and asks for no key
    other = ("cutout_api_requests_total", "GET", "other", "404")
    until(lambda: scraped(port).get(other) == 2)  # counted after the responses were sent
