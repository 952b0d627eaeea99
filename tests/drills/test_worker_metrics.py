"""The metrics of workers, whose processes die while they are counted."""

import signal
import time
import urllib.request

import pytest
from support.drill import Drill, queue
from support.scrape import probed, scraped
from support.services import free_port, until
from support.stand_in import mark

from contract.metrics import STAGES


def settled_by(port: int) -> dict[tuple[str, ...], float]:
    """Return the images that a worker settled, by code, model and status."""
    return {
        key[1:]: value
        for key, value in (scraped(port) or {}).items()
        if key[0] == "cutout_worker_images_total"
    }


def test_a_worker_counts_every_image_though_its_processes_are_killed(drill: Drill) -> None:
    count, kills = 120, 4
    drill.fill(count)
    for number in range(count):
        mark(drill.key_path(number), "slow:0.1")
    (drill.key_path(7)).write_bytes(b"no image")
    ports = {"worker": free_port(), "quarantine": free_port()}
    drill.cluster.start_dispatcher()
    drill.cluster.start_worker(3, CUTOUT_METRICS_PORT=str(ports["worker"]))
    drill.cluster.start_quarantine(CUTOUT_METRICS_PORT=str(ports["quarantine"]))
    spec = drill.submit()
    killed = 0
    while killed < kills:
        drill.settled(spec, (killed + 1) * 15)
        victim = until(lambda: drill.cluster.titled(": ", "worker"), pause=0.01)
        victim.send_signal(signal.SIGKILL)
        killed += 1
    drill.closed(spec)
    drill.audit(spec)

    counts = [settled_by(port) for port in ports.values()]
    total = sum(sum(one.values()) for one in counts)
    # each death may cost the one image that was settled and not yet counted; none counts twice
    assert count - kills <= total <= count
    failed = [value for one in counts for key, value in one.items() if key[2] == "failed"]
    assert sum(failed) == 1
    metrics = scraped(ports["worker"])
    crashes = sum(scraped(p)["cutout_worker_crashes_total", "SIGKILL"] for p in ports.values())
    assert crashes <= kills  # a child that had just ended its image loses none
    stages = {key[1] for key in metrics if key[0] == "cutout_worker_stage_seconds_count"}
    assert stages == set(STAGES)
    assert metrics["cutout_worker_megapixels_total", "u2netp", "done"] > 0
    assert metrics["cutout_worker_cpu_seconds_total", "u2netp"] > 0
    until(lambda: scraped(ports["worker"])["cutout_worker_ready", queue()] == 1)
    memory = memory_of_children(ports["worker"])
    assert len(memory) == 3
    assert min(memory) > 10e6


def memory_of_children(port: int) -> list[float]:
    name = "cutout_worker_child_memory_bytes"
    return [value for key, value in scraped(port).items() if key[0] == name]


def test_a_crash_is_counted_by_its_cause(drill: Drill) -> None:
    drill.fill(6)
    mark(drill.key_path(2), "segfault")
    port = free_port()
    drill.cluster.start_dispatcher()
    drill.cluster.start_worker(2, CUTOUT_METRICS_PORT=str(port))
    spec = drill.submit()
    until(lambda: scraped(port) and scraped(port)["cutout_worker_crashes_total", "SIGSEGV"] == 1)
    drill.settled(spec, 5)
    assert probed(port) == 200
    until(lambda: scraped(port)["cutout_worker_in_flight", queue()] == 0)
    assert scraped(port)["cutout_worker_crashes_total", "SIGKILL"] == 0


def test_a_worker_whose_main_loop_hangs_is_unhealthy(drill: Drill) -> None:
    port = free_port()
    drill.cluster.start("worker", "worker", "STALE_SECONDS=3", "worker", "-c", "1",
                        CUTOUT_METRICS_PORT=str(port))  # fmt: skip
    until(lambda: scraped(port) and scraped(port)["cutout_worker_ready", queue()] == 1)
    assert probed(port) == 200
    drill.cluster.processes["worker"].send_signal(signal.SIGRTMIN)

    def unhealthy() -> bool:
        try:
            return probed(port) == 503
        except OSError:
            pytest.fail("the watchdog ended the worker before /healthz said so")

    until(unhealthy, pause=0.05)


def test_scrapes_do_not_disturb_a_worker_whose_children_are_replaced(drill: Drill) -> None:
    """Each fork happens while other threads of the main process answer scrapes."""
    count = 25
    drill.fill(count)
    port = free_port()
    drill.cluster.start_dispatcher()
    drill.cluster.start_worker(2, CUTOUT_METRICS_PORT=str(port))
    until(lambda: scraped(port) and scraped(port)["cutout_worker_ready", queue()] == 1)
    until(lambda: len(memory_of_children(port)) == 2)
    for number in range(0, count, 3):
        mark(drill.key_path(number), "slow:0.2")
    spec = drill.submit()
    begin, scrapes = time.monotonic(), 0
    while drill.progress(spec).settled < count:
        for _ in range(10):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20).read()
            scrapes += 1
        if victim := drill.cluster.titled(" idle"):
            victim.send_signal(signal.SIGKILL)
        assert time.monotonic() - begin < 240, drill.progress(spec)
    drill.closed(spec)
    drill.audit(spec)
    assert scrapes > 10


def test_a_second_worker_on_the_same_port_says_so(drill: Drill) -> None:
    port = str(free_port())
    drill.cluster.start_worker(1, CUTOUT_METRICS_PORT=port)
    until(lambda: scraped(int(port)))
    drill.cluster.start_worker(1, name="second", CUTOUT_METRICS_PORT=port)
    assert drill.cluster.processes.pop("second").wait(60) == 1
    assert f"CUTOUT_METRICS_PORT {port} of 127.0.0.1: Address already in use." in drill.cluster.log(
        "second"
    )
    assert probed(int(port)) == 200
