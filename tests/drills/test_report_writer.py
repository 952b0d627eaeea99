"""A dispatcher that dies or freezes while it writes a report: another writes it, once."""

import os
import signal
import time
from pathlib import Path

import pytest
from support.drill import Drill
from support.generated_batch import generate
from support.services import until

from contract import names
from contract.outcome import Status
from producer.dispatch.report_lease import REPORT_LEASE_SECONDS


@pytest.mark.parametrize(
    "harm", [pytest.param(signal.SIGKILL, marks=pytest.mark.long), signal.SIGSTOP]
)
def test_a_dispatcher_is_lost_while_it_writes_a_report(
    drill: Drill, tmp_path: Path, harm: signal.Signals
) -> None:
    count = drill.size(20_000, 500_000)
    ledger = drill.cluster.ledger
    spec = generate(ledger, tmp_path, count, Status.FAILED)
    redis, lease = ledger.connection.client, names.redis_key(spec.id, "report_lease")
    drill.cluster.start_dispatcher("first")
    holder = until(lambda: redis.get(lease), 30, pause=0.01)
    first = drill.cluster.processes["first"]
    os.killpg(first.pid, harm)
    assert drill.progress(spec).state == "open"
    # the lease of a lost dispatcher blocks the next one for 15 s; the drill does not wait
    redis.delete(names.DISPATCHER_LEASE)
    lost = time.monotonic()
    drill.cluster.start_dispatcher("second")
    until(lambda: redis.get(lease) not in {None, holder}, REPORT_LEASE_SECONDS + 30, pause=0.01)
    took = time.monotonic() - lost
    drill.closed(spec)

    if harm == signal.SIGSTOP:  # it finds its leases lost, or the batch closed: it harms nothing
        os.killpg(first.pid, signal.SIGCONT)
        until(lambda: "standing by" in drill.cluster.log("first"))
        drill.cluster.processes.pop("first").terminate()
        first.wait(900)  # for what it still writes
    else:
        drill.cluster.kill("first")
    lines = [int(row["line"]) for row in drill.cluster.report(spec)]
    assert sorted(lines) == list(range(count))
    injected = f"{harm.name} to the dispatcher while it writes a report"
    drill.passed(spec, injected, REPORT_LEASE_SECONDS + 10, took)
