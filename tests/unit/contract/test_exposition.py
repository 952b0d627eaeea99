import os
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from contract.counters import Counters
from contract.errors import ErrorCode, PermanentError
from contract.exposition import CounterMetrics, serving_metrics, wsgi
from contract.metrics import MetricSpec
from contract.settings import Settings

IMAGES = MetricSpec(
    "cutout_things_total", ("code",), "Things", type="counter", initial=(("none",),)
)
SECONDS = MetricSpec(
    "cutout_thing_seconds", ("stage",), "Duration", type="histogram", buckets=(0.1, 1)
)
GAUGE = MetricSpec("cutout_size", (), "Size")


def exported(counters: Counters) -> dict[tuple[str, ...], float]:
    text = b"".join(
        wsgi([CounterMetrics([IMAGES, SECONDS, GAUGE], counters.rows)], lambda: True)(
            {"PATH_INFO": "/metrics", "REQUEST_METHOD": "GET"}, lambda *_: None
        )
    )
    return {
        (sample.name, *(text for _, text in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if sample.name.startswith("cutout_") and not sample.name.endswith("_created")
    }


def test_counters_are_exported_and_begin_at_zero():
    counters = Counters()
    assert exported(counters) == {("cutout_things_total", "none"): 0}
    counters.add(IMAGES, 'odd "name"\n', amount=2)
    assert exported(counters) == {
        ("cutout_things_total", "none"): 0,
        ("cutout_things_total", 'odd "name"\n'): 2,
    }


def test_the_buckets_of_a_histogram_are_cumulative():
    counters = Counters()
    for seconds in (0.05, 0.5, 0.6, 7):
        counters.observe(SECONDS, seconds, "matte")
    samples = exported(counters)
    assert samples["cutout_thing_seconds_bucket", "0.1", "matte"] == 1
    assert samples["cutout_thing_seconds_bucket", "1.0", "matte"] == 3
    assert samples["cutout_thing_seconds_bucket", "+Inf", "matte"] == 4
    assert samples["cutout_thing_seconds_count", "matte"] == 4
    assert samples["cutout_thing_seconds_sum", "matte"] == pytest.approx(8.15)


def test_a_process_that_stands_still_is_unhealthy():
    alive = [True]
    app = wsgi([], lambda: alive[0])

    def status(path: str) -> str:
        statuses: list[str] = []
        assert b"".join(app({"PATH_INFO": path}, lambda one, _: statuses.append(one)))
        return statuses[0]

    assert status("/healthz") == "200 OK"
    alive[0] = False
    assert status("/healthz") == "503 Service Unavailable"
    assert status("/") == "404 Not Found"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_nothing_is_served_without_a_port():
    with serving_metrics(Settings(metrics_port=None), [], lambda: True):
        pass


def test_a_taken_port_is_named():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with (
            pytest.raises(PermanentError, match=f"CUTOUT_METRICS_PORT {port}") as caught,
            serving_metrics(Settings(metrics_port=port), [], lambda: True),
        ):
            pass
    assert caught.value.code is ErrorCode.INVALID_SETTING


def test_the_memory_of_the_process_is_exported_too():
    port = free_port()
    with serving_metrics(Settings(metrics_port=port), [], lambda: True):
        url = f"http://127.0.0.1:{port}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            text = answer.read().decode()
        assert "process_resident_memory_bytes" in text or not Path("/proc/self/stat").exists()


@pytest.mark.slow
def test_a_forked_process_does_not_keep_the_port():
    """A child that outlives its worker must not keep the next worker from its port."""
    port = free_port()
    ready, release = os.pipe(), os.pipe()
    with serving_metrics(Settings(metrics_port=port), [], lambda: True):
        pid = os.fork()
        if not pid:
            os.write(ready[1], b".")
            os.read(release[0], 1)
            os._exit(0)
        os.read(ready[0], 1)
    try:
        with pytest.raises(urllib.error.URLError, match="refused"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10)
        with serving_metrics(Settings(metrics_port=port), [], lambda: True):
            answer = urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10)
            assert answer.status == 200
    finally:
        os.write(release[1], b".")
        os.waitpid(pid, 0)
