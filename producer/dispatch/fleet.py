"""The fleet as the dispatcher sees it: which workers serve each queue, and how fast."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from contract.ledger.records import Worker
from producer.dispatch.window import Fleet, SpeedMeter


class FleetView:
    """Workers and speed of each queue, updated once per tick."""

    def __init__(self) -> None:
        self.out_of_rotation: set[str] = set()
        """names of workers that run and take no images"""
        self._workers: Counter[str] = Counter()
        self._children: Counter[str] = Counter()
        self._meters: defaultdict[str, SpeedMeter] = defaultdict(SpeedMeter)
        self._settled: dict[str, int] = {}

    def update(self, workers: Iterable[Worker], now: float) -> None:
        """Replace the workers, and sample the speeds. `now`: seconds of a monotonic clock."""
        self._workers.clear()
        self._children.clear()
        self.out_of_rotation = set()
        for worker in workers:
            if worker.out_of_rotation:
                self.out_of_rotation.add(worker.name)
                continue
            self._workers[worker.queue] += 1
            self._children[worker.queue] += worker.children
        for meter in self._meters.values():
            meter.sample(now)

    def serves(self, queue: str) -> bool:
        """Return whether a worker takes images from the queue."""
        return queue in self._workers

    def queues(self) -> list[str]:
        """Return the queues that workers serve."""
        return list(self._workers)

    def observe(self, batch: str, queue: str, settled: int) -> None:
        """Record how many lines of an open batch are settled."""
        before = self._settled.get(batch, settled)
        self._settled[batch] = settled
        # a retry lowers the counter
        self._meters[queue].add(max(0, settled - before))

    def forget(self, batch: str) -> None:
        """Drop a batch that is not open any more."""
        self._settled.pop(batch, None)

    def of(self, queue: str) -> Fleet:
        """Return the workers that serve a queue, and their speed."""
        return Fleet(
            self._workers[queue], self._children[queue], self._meters[queue].images_per_second
        )
