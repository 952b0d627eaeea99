"""What Flower does not know: clocks, queues and batches, beside its own numbers at /metrics."""

from collections.abc import Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from contract.errors import CutoutError
from contract.ledger.redis_ledger import RedisLedger

REPLY_SECONDS = 2


class Cluster(Collector):
    """Read when it is asked for. Without Redis it has nothing to say, and says so at once."""

    def __init__(self, url: str) -> None:
        self._ledger = RedisLedger(url, retries=0, timeout=REPLY_SECONDS)

    def describe(self) -> Iterable[Metric]:
        """Spare Redis the question at registration."""
        return []

    def collect(self) -> Iterator[Metric]:
        try:
            found = [*self._workers(), *self._batches()]
        except CutoutError:
            return
        yield from found

    def _workers(self) -> Iterator[Metric]:
        skew = GaugeMetricFamily(
            "cutout_worker_clock_skew_seconds", "Ahead of Redis's clock", labels=["worker"]
        )
        children = GaugeMetricFamily(
            "cutout_worker_children", "Child processes", labels=["worker", "queue"]
        )
        length = GaugeMetricFamily("cutout_queue_length", "Messages that wait", labels=["queue"])
        workers = self._ledger.workers.list()
        for worker in workers:
            skew.add_metric([worker.name], worker.clock_skew)
            children.add_metric([worker.name, worker.queue], worker.children)
        for queue in sorted({worker.queue for worker in workers}):
            length.add_metric([queue], self._ledger.workers.queue_length(queue))
        yield from (skew, children, length)

    def _batches(self) -> Iterator[Metric]:
        images = GaugeMetricFamily(
            "cutout_batch_images", "Images of an open batch", labels=["batch", "status"]
        )
        total = GaugeMetricFamily("cutout_batch_total", "All images of it", labels=["batch"])
        for batch in self._ledger.batches.open_ids():
            now = self._ledger.batches.progress(batch)
            for status in ("done", "skipped", "failed", "issued"):
                images.add_metric([batch, status], getattr(now, status))
            total.add_metric([batch], now.spec.total)
        yield from (images, total)
