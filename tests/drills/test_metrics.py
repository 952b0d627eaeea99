"""Flower's /metrics, read as Prometheus reads them."""

import time
import urllib.request
from datetime import UTC, datetime

from prometheus_client.parser import text_string_to_metric_families
from support.catalogue import photograph
from support.cluster import Cluster
from support.services import free_port, until

from contract import names
from contract.ledger.records import Worker
from contract.ledger.workers import WorkerRegistry
from contract.schedule import Schedule

QUEUE = names.bulk_queue("u2netp")
Values = dict[tuple[str, ...], float]


def test_flower_exports_workers_queues_and_batches(cluster: Cluster, catalogue, tmp_path) -> None:
    for number in range(3):
        photograph(catalogue / f"{number}.jpg", number)
    deadline = datetime(2100, 1, 1, tzinfo=UTC)
    spec = cluster.submit(catalogue, tmp_path / "out", schedule=Schedule(deadline=deadline))
    cluster.ledger.batches.set_eta(spec.id, 1)
    present = WorkerRegistry(cluster.ledger.connection)
    present.register(Worker(name="a@one", queue=QUEUE, children=3, clock_skew=0.25))
    cluster.start_dispatcher()  # and no worker: the three messages wait
    until(lambda: cluster.ledger.batches.progress(spec.id).issued == 3)
    port = free_port()
    cluster.start("flower", "producer", "flower", CUTOUT_FLOWER_PORT=str(port))

    def scraped() -> Values | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                text = answer.read().decode()
        except OSError:
            return None
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    metrics = until(scraped)
    ours = {key: value for key, value in metrics.items() if key[0].startswith("cutout_")}
    images = {
        ("cutout_batch_images", spec.id, status): 0 for status in ("done", "skipped", "failed")
    }
    assert ours == {
        ("cutout_worker_clock_skew_seconds", "a@one"): 0.25,
        ("cutout_worker_children", QUEUE, "a@one"): 3,
        ("cutout_worker_out_of_rotation", QUEUE, "a@one"): 0,
        ("cutout_queue_length", QUEUE): 3,
        **images,
        ("cutout_batch_images", spec.id, "issued"): 3,
        ("cutout_batch_total", spec.id): 3,
        ("cutout_batch_eta_timestamp_seconds", spec.id): 1,
        ("cutout_batch_deadline_timestamp_seconds", spec.id): deadline.timestamp(),
        **{("cutout_images_settled_total", status): 0 for status in ("done", "skipped", "failed")},
        ("cutout_messages_dropped_total",): 0,
    }

    cluster.redis.stop()
    start = time.monotonic()
    silent = scraped()
    assert time.monotonic() - start < 30
    assert silent
    assert not any(key[0].startswith("cutout_") for key in silent)
    cluster.redis.start()  # or the dispatcher waits for it when it stops
