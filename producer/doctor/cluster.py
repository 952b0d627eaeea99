"""Checks of Redis and of the processes that meet there."""

import statistics
import time
from collections.abc import Iterator

from contract.errors import CutoutError, ErrorCode, PermanentError
from contract.ledger.probe import explain
from contract.ledger.redis_ledger import RedisLedger
from contract.ledger.server_check import examine
from contract.ledger.shared_settings import difference
from contract.ledger.workers import check_clock
from contract.settings import Settings
from producer.batches.left_out import NEXT, LeftOut
from producer.batches.missing_dispatcher import NO_DISPATCHER
from producer.dispatch.fleet import FleetView
from producer.dispatch.missing_workers import missing_workers
from producer.doctor.finding import (
    Finding,
    Level,
    error,
    from_error,
    from_stalled_reason,
    ok,
    warning,
)
from producer.local.redis_server import is_fixed

MEMORY_SHARE = 0.7
"""Share of maxmemory above which an operator is warned."""
SLOW_REPLY_SECONDS = 0.005
"""A ping that takes longer slows every image: each needs about ten round trips."""
PINGS = 5


class ClusterChecks:
    """All need Redis: if it does not answer, only the first finds something."""

    def __init__(self, config: Settings) -> None:
        self._config = config
        self._ledger: RedisLedger | None = None

    def redis(self) -> Iterator[Finding]:
        """Check that Redis answers, and that it can hold the queue."""
        address = self._config.require_redis_address()
        ledger = RedisLedger(address, retries=0)
        try:
            ledger.ping()
            advice = examine(ledger.connection)
        except CutoutError as raised:
            yield from_error(explain(raised, address))
            return
        self._ledger = ledger
        seconds = statistics.median(_ping(ledger) for _ in range(PINGS))
        facts = ledger.connection.server_info()
        name = "valkey" if "valkey_version" in facts else "redis"
        version = facts.get("valkey_version") or facts.get("redis_version", "of unknown version")
        yield ok(f"{name} {version} answers in {seconds * 1000:.1f} ms")
        for one in advice:
            yield from_error(one, Level.WARNING)
        if not is_fixed(f"{name} server v={version}"):
            yield warning(
                f"{name} {version} has a known fault: a Lua script can run code (CVE-2025-49844).",
                "Update the server within its series.",
            )
        if seconds > SLOW_REPLY_SECONDS:
            yield warning(
                f"Redis takes {seconds * 1000:.0f} ms to answer.",
                "Run Redis in the same zone as the workers, and nothing else on its machine.",
            )
        used, limit = int(facts.get("used_memory", 0)), int(facts.get("maxmemory", 0))
        if limit and used > MEMORY_SHARE * limit:
            yield warning(
                f"Redis uses {used / limit:.0%} of its maxmemory.",
                "Raise maxmemory; once it is reached, no image is settled.",
            )

    def clock(self) -> Iterator[Finding]:
        """Check this machine's clock against that of Redis."""
        if self._ledger:
            check_clock(self._ledger.workers)
            yield ok("agrees with that of Redis")

    def settings(self) -> Iterator[Finding]:
        """Check the settings that must be the same in all processes."""
        if not self._ledger:
            return
        # read only: what doctor stored would bind the processes that start next
        if problem := difference(self._config, self._ledger.workers.shared_settings()):
            raise PermanentError(ErrorCode.SETTINGS_DIFFER, problem)
        if self._ledger.workers.list() or self._ledger.has_dispatcher():
            yield ok("agree with the running processes")
        else:
            yield ok("no worker and no dispatcher is running, so there is none to differ from")

    def processes(self) -> Iterator[Finding]:
        """Check that open batches have a dispatcher and workers."""
        if not self._ledger:
            return
        workers, batches = self._ledger.workers.list(), self._ledger.batches
        fleet = FleetView()
        fleet.update(workers, time.monotonic())
        left_out = LeftOut()
        open_batches = batches.progress_of(batches.open_ids(), left_out)
        yield ok(
            f"workers: {len(workers)}, their children: {sum(w.children for w in workers)},"
            f" open batches: {len(open_batches)}",
        )
        if left_out.sentence:
            yield warning(left_out.sentence, NEXT)
        if not self._ledger.has_dispatcher():
            yield from_stalled_reason(NO_DISPATCHER, Level.ERROR if open_batches else Level.WARNING)
        for name in sorted(fleet.out_of_rotation):
            yield error(
                f"{name} takes no images, because its own failed where those of others did not.",
                "Read its log; it takes images again once an attempt succeeds.",
            )
        now = time.time()
        served = (one for one in open_batches if one.state == "open")
        for reason in dict.fromkeys(missing_workers(one, fleet, now) for one in served):
            if reason:
                yield from_stalled_reason(reason)


def _ping(ledger: RedisLedger) -> float:
    began = time.perf_counter()
    ledger.ping()
    return time.perf_counter() - began
