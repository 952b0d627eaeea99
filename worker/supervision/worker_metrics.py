"""The metrics of one worker: what its children counted, and what its main process sees of them."""

import time
from collections.abc import Iterable, Iterator

from celery.worker import state
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from contract import metrics
from contract.counters import Rows, counters, total
from contract.errors import ErrorCode
from contract.exposition import CounterMetrics, family
from contract.outcome import Status
from worker.meters import SharedMeters
from worker.supervision import heartbeat
from worker.supervision.heartbeat import HeartbeatFile

EXPECTED_IMAGES = (
    (Status.DONE, ""),
    (Status.SKIPPED, ""),
    (Status.FAILED, ErrorCode.POISONED),
    (Status.FAILED, ErrorCode.EXHAUSTED),
)
"""Status and code of images that are exported as 0 before there is one: Prometheus does not see the
first increase of a series that begins with it, and alerts wait for these."""


class WorkerMetrics(Collector):
    """Collected by a thread of the main process."""

    def __init__(self, meters: SharedMeters, file: HeartbeatFile, model: str, queue: str) -> None:
        self._zeros: Rows = {
            (metrics.WORKER_IMAGES.name, (model, *labels)): [0.0] for labels in EXPECTED_IMAGES
        }
        self._meters = meters
        self._file = file
        self._queue = queue
        self._counted = CounterMetrics(metrics.exported_by("worker"), self._rows)

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        yield from self._counted.collect()
        in_flight = family(metrics.WORKER_IN_FLIGHT)
        in_flight.add_metric([self._queue], len(state.active_requests))
        ready = family(metrics.WORKER_READY)
        ready.add_metric([self._queue], self.is_alive() and self._file.ready)
        memory = family(metrics.WORKER_CHILD_MEMORY)
        for child, size in self._meters.memory_bytes().items():
            memory.add_metric([str(child)], size)
        yield from (in_flight, ready, memory)

    def is_alive(self) -> bool:
        """Return whether the main loop runs: the same that `cutout health` says."""
        return time.monotonic() - self._file.last_beat < heartbeat.STALE_SECONDS

    def _rows(self) -> Rows:
        # the main process itself counts crashes
        return total([self._zeros, counters.rows(), self._meters.rows()])
