"""Metrics of the whole cluster, read from Redis at each scrape: clocks, queues, batches, Redis."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from contract import metrics, names
from contract.batch import Progress
from contract.counters import counters
from contract.errors import CutoutError
from contract.exposition import CounterMetrics, family, serving_metrics
from contract.ledger.records import Worker
from contract.ledger.redis_ledger import RedisLedger
from contract.recipe import MODEL_NAMES, PIPELINE
from contract.redis_address import RedisAddress
from contract.settings import Settings
from producer.callbacks.schedule import CallbackSchedule
from producer.monitoring.batch_metrics import batch_metrics

REPLY_SECONDS = 2
"""Seconds to wait for a Redis reply. Shorter than elsewhere: a scrape must not time out."""

QUEUES = (names.bulk_queue, names.interactive_queue, names.quarantine_queue)


def serving_cluster_metrics(
    config: Settings, is_alive: Callable[[], bool], is_leading: Callable[[], bool]
) -> AbstractContextManager[None]:
    """Serve the cluster's metrics and the dispatcher's own; see `serving_metrics`."""
    counts = CounterMetrics(metrics.exported_by("dispatcher"), counters.rows)
    cluster = ClusterMetrics(config.require_redis_address())
    return serving_metrics(config, [cluster, counts, LeadingMetric(is_leading)], is_alive)


class LeadingMetric(Collector):
    """Tells whether this dispatcher is the one at work."""

    def __init__(self, is_leading: Callable[[], bool]) -> None:
        self._is_leading = is_leading

    def collect(self) -> Iterator[Metric]:
        leading = family(metrics.DISPATCHER_LEADING)
        leading.add_metric([], self._is_leading())
        yield leading


UNSETTLED_STATES = ("held", "waiting", "queued", "processing", "deferred", "quarantined")


class ClusterMetrics(Collector):
    """Reads Redis at each scrape. Yields no metrics while Redis is unavailable."""

    def __init__(self, address: RedisAddress) -> None:
        self._ledger = RedisLedger(address, retries=0, timeout=REPLY_SECONDS)

    def describe(self) -> Iterable[Metric]:
        """Return no descriptions, so that registering does not read Redis."""
        return []

    def collect(self) -> Iterator[Metric]:
        batches = self._ledger.batches
        try:
            workers = self._ledger.workers.list()
            # cutouts included
            open_batches = batches.progress_of(batches.open_ids())
            families = [
                *_workers(workers), *self._queues(workers, open_batches),
                *_unsettled(open_batches, time.time()), *batch_metrics(open_batches, time.time()),
                *self._counts(), *self._redis(),
            ]  # fmt: skip
        except CutoutError:
            return
        yield from families

    def _queues(
        self, workers: Iterable[Worker], open_batches: Iterable[Progress]
    ) -> Iterator[Metric]:
        length, oldest = family(metrics.QUEUE_LENGTH), family(metrics.QUEUE_OLDEST)
        queues = {queue(*release) for release in _releases(open_batches) for queue in QUEUES}
        queues |= {worker.queue for worker in workers}
        for queue, state in sorted(self._ledger.workers.queue_states(queues).items()):
            length.add_metric([queue], state.length)
            oldest.add_metric([queue], state.oldest_seconds)
        yield from (length, oldest)

    def _counts(self) -> Iterator[Metric]:
        running, skew = family(metrics.DISPATCHER_RUNNING), family(metrics.CLOCK_SKEW)
        running.add_metric([], self._ledger.has_dispatcher())
        skew.add_metric([], self._ledger.workers.clock_skew())
        settled, dropped = family(metrics.IMAGES_SETTLED), family(metrics.MESSAGES_DROPPED)
        for status, count in self._ledger.batches.settled_counts().items():
            settled.add_metric([status], count)
        dropped.add_metric([], self._ledger.workers.dropped_messages())
        callbacks = family(metrics.CALLBACKS_PENDING)
        for of, key in (("batch", names.BATCH_CALLBACKS), ("cutout", names.CALLBACKS)):
            callbacks.add_metric([of], CallbackSchedule(self._ledger.connection, key).pending())
        yield from (running, skew, settled, dropped, callbacks)

    def _redis(self) -> Iterator[Metric]:
        facts = self._ledger.connection.server_info()
        values = {
            metrics.REDIS_MEMORY: facts.get("used_memory"),
            metrics.REDIS_MEMORY_LIMIT: facts.get("maxmemory") or facts.get("total_system_memory"),
            metrics.REDIS_CLIENTS: facts.get("connected_clients"),
            metrics.REDIS_CLIENTS_LIMIT: facts.get("maxclients"),
        }
        for spec, value in values.items():
            if value:
                one = family(spec)
                one.add_metric([], float(value))
                yield one


def _releases(open_batches: Iterable[Progress]) -> set[tuple[str, int]]:
    """Return (model, pipeline) of this release's models, and of open batches of other releases."""
    recipes = (progress.spec.recipe for progress in open_batches)
    return {(model, PIPELINE) for model in MODEL_NAMES} | {
        (recipe.model, recipe.pipeline) for recipe in recipes
    }


def _workers(workers: Iterable[Worker]) -> Iterator[Metric]:
    skew = family(metrics.WORKER_CLOCK_SKEW)
    children = family(metrics.WORKER_CHILDREN)
    out = family(metrics.WORKER_OUT_OF_ROTATION)
    for worker in workers:
        skew.add_metric([worker.name], worker.clock_skew)
        children.add_metric([worker.name, worker.queue], worker.children)
        out.add_metric([worker.name, worker.queue], bool(worker.out_of_rotation))
    yield from (skew, children, out)


def _unsettled(open_batches: Sequence[Progress], now: float) -> Iterator[Metric]:
    counts: Counter[tuple[str, int, str]] = Counter()
    for progress in open_batches:
        recipe = progress.spec.recipe
        runs = progress.state == "open" and now >= progress.spec.schedule.start
        numbers = {
            "waiting" if runs else "held": progress.spec.total - progress.settled - progress.issued,
            "queued": progress.active - progress.claimed,
            "processing": progress.claimed,
            "deferred": progress.deferred,
            "quarantined": progress.quarantined,
        }
        for state, number in numbers.items():
            # the counters of a batch that changes meanwhile may disagree for a moment
            counts[recipe.model, recipe.pipeline, state] += max(0, number)
    images = family(metrics.UNSETTLED_IMAGES)
    for model, pipeline in sorted(_releases(open_batches)):
        for state in UNSETTLED_STATES:
            images.add_metric([model, str(pipeline), state], counts[model, pipeline, state])
    yield images
