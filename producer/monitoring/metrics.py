"""Metrics that Flower does not collect itself: clocks, queues and batches, beside its own."""

from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from contract import metrics, names
from contract.errors import CutoutError
from contract.ledger.redis_ledger import RedisLedger
from contract.recipe import MODEL_NAMES
from contract.redis_address import RedisAddress

REPLY_SECONDS = 2
"""Seconds to wait for a Redis reply. Shorter than elsewhere: a scrape must not time out."""

QUEUES = (names.bulk_queue, names.interactive_queue, names.quarantine_queue)


class ClusterMetrics(Collector):
    """Reads Redis at each scrape. Yields no metrics while Redis is unavailable."""

    def __init__(self, address: RedisAddress) -> None:
        self._ledger = RedisLedger(address, retries=0, timeout=REPLY_SECONDS)

    def describe(self) -> Iterable[Metric]:
        """Return no descriptions, so that registering does not read Redis."""
        return []

    def collect(self) -> Iterator[Metric]:
        try:
            families = [
                *self._workers(), *self._queues(), *self._batches(), *self._settled(),
                *self._dropped_messages(),
            ]  # fmt: skip
        except CutoutError:
            return
        yield from families

    def _workers(self) -> Iterator[Metric]:
        skew = _family(metrics.WORKER_CLOCK_SKEW)
        children = _family(metrics.WORKER_CHILDREN)
        out = _family(metrics.WORKER_OUT_OF_ROTATION)
        for worker in self._ledger.workers.list():
            skew.add_metric([worker.name], worker.clock_skew)
            children.add_metric([worker.name, worker.queue], worker.children)
            out.add_metric([worker.name, worker.queue], bool(worker.out_of_rotation))
        yield from (skew, children, out)

    def _queues(self) -> Iterator[Metric]:
        length, running = _family(metrics.QUEUE_LENGTH), _family(metrics.DISPATCHER_RUNNING)
        workers, batches = self._ledger.workers, self._ledger.batches
        queues = {queue(model) for model in MODEL_NAMES for queue in QUEUES}
        queues |= {worker.queue for worker in workers.list()}
        for progress in batches.progress_of(batches.open_ids()):  # perhaps of another release
            recipe = progress.spec.recipe
            queues |= {queue(recipe.model, recipe.pipeline) for queue in QUEUES}
        for queue in sorted(queues):
            length.add_metric([queue], workers.queue_length(queue))
        running.add_metric([], self._ledger.has_dispatcher())
        yield from (length, running)

    def _batches(self) -> Iterator[Metric]:
        images = _family(metrics.BATCH_IMAGES)
        total = _family(metrics.BATCH_TOTAL)
        eta = _family(metrics.BATCH_ETA)
        deadline = _family(metrics.BATCH_DEADLINE)
        batches = self._ledger.batches
        for progress in batches.progress_of(batches.open_ids()):
            batch = progress.spec.id
            for status in ("done", "skipped", "failed", "issued"):
                images.add_metric([batch, status], getattr(progress, status))
            total.add_metric([batch], progress.spec.total)
            if progress.eta is not None:
                eta.add_metric([batch], progress.eta)
            if end := progress.spec.schedule.deadline:
                deadline.add_metric([batch], end.timestamp())
        yield from (images, total, eta, deadline)

    def _settled(self) -> Iterator[Metric]:
        spec = metrics.IMAGES_SETTLED
        settled = CounterMetricFamily(spec.name, spec.help, labels=spec.labels)
        for status, count in self._ledger.batches.settled_counts().items():
            settled.add_metric([status], count)
        yield settled

    def _dropped_messages(self) -> Iterator[Metric]:
        spec, count = metrics.MESSAGES_DROPPED, self._ledger.workers.dropped_messages()
        yield CounterMetricFamily(spec.name, spec.help, value=count)


def _family(spec: metrics.MetricSpec) -> GaugeMetricFamily:
    """Return an empty family of a metric, to be filled with samples."""
    return GaugeMetricFamily(spec.name, spec.help, labels=spec.labels)
