"""A `cutout flower` of a cluster, and what it has seen."""

import urllib.request

from support.cluster import Cluster
from support.services import answers, free_port, until


class Flower:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._port = free_port()

    def start(self) -> None:
        self._cluster.start("flower", "producer", "flower", CUTOUT_FLOWER_PORT=str(self._port))
        until(lambda: answers(self._url("metrics")))

    def settled(self) -> float:
        """Return how many tasks Flower has seen succeed."""
        return sum(
            float(line.rpartition(" ")[2])
            for line in self._read("metrics").splitlines()
            if line.startswith("flower_events_total{") and 'type="task-succeeded"' in line
        )

    def assert_queues_are_read(self) -> None:
        """Assert that the page about the broker reads the lengths of its queues."""
        assert "<table" in self._read("broker")
        assert "Unable to get queues" not in self._cluster.log("flower")

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._port}/{path}"

    def _read(self, path: str) -> str:
        with urllib.request.urlopen(self._url(path), timeout=10) as answer:
            text: str = answer.read().decode()
        return text
