"""Processes that list a source are killed and frozen; the next one goes on."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.faults import delay
from support.listing import LISTING, listed, photographs, submit
from support.services import until

from contract import names
from contract.ledger.redis_ledger import RedisLedger
from contract.storage.batch_files import read_spec
from producer.batches import control


@pytest.fixture(autouse=True)
def removed_temporary_files(tmp_path: Path, monkeypatch) -> None:
    """What a killed process leaves in its temporary folder goes with the test's own."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))


SUBMIT = """
import sys
from contract.ledger.redis_ledger import RedisLedger
from contract.recipe import Recipe
from producer.batches import storage_retry, register
storage_retry.PAGE_KEYS, register.SEGMENT_LINES = 10, 20
print("listing", flush=True)
url, source, destination, name = sys.argv[1:]
register.register(RedisLedger(url), source, destination, Recipe(model="u2netp"), name=name)
print("registered", flush=True)
"""


def start(ledger: RedisLedger, small_bucket: str, name: str = "") -> subprocess.Popen[str]:
    options = ledger.connection.client.connection_pool.connection_kwargs
    redis_url = f"unix://{options['path']}"
    locations = [f"s3://{small_bucket}/in", f"s3://{small_bucket}/out"]
    return subprocess.Popen(
        [sys.executable, "-c", SUBMIT, redis_url, *locations, name],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def expire_lease(ledger: RedisLedger, batch: str) -> None:
    """Let the lease of a dead process end now."""
    ledger.connection.client.delete(names.redis_key(batch, "lister"))


@pytest.mark.parametrize("name", ["", "spring"])
def test_a_killed_submit_goes_on_where_it_stopped(ledger, proxy, small_bucket, name) -> None:
    slow = proxy.add(delay(0.15), methods=["GET"], path=LISTING)
    process = start(ledger, small_bucket, name)
    (batch,) = until(ledger.listings.ids, pause=0.02)
    until(lambda: ledger.batches.progress(batch).spec.total >= 40, pause=0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert ledger.batches.progress(batch).state == "registering"
    expire_lease(ledger, batch)
    proxy.remove(slow)
    proxy.requests.clear()

    spec = submit(ledger, small_bucket, name=name)
    assert spec.id == batch
    assert listed(spec) == photographs()
    assert spec.ignored == 1
    assert len(spec.segment_writers) == 2
    assert spec.segment_writers[1][0] >= 2
    assert ledger.batches.ids() == [batch]
    assert proxy.requests["GET"] < 40


def test_a_submit_killed_anywhere_leaves_one_complete_batch(ledger, proxy, small_bucket) -> None:
    """The delays shift from attempt to attempt, so the kills hit every step."""
    proxy.add(delay(0.05))
    for attempt in range(5):
        process = start(ledger, small_bucket, "spring")
        assert process.stdout.readline() == "listing\n"
        time.sleep(0.2 + 0.25 * attempt)
        process.kill()
        process.wait()
        for batch in ledger.batches.ids():
            expire_lease(ledger, batch)
    proxy.clear()
    spec = submit(ledger, small_bucket, name="spring")
    assert ledger.batches.ids() == [spec.id]
    assert ledger.batches.progress(spec.id).state == "open"
    assert listed(spec) == photographs()
    assert read_spec(spec.id, spec.destination) == spec


def test_a_frozen_process_changes_nothing_after_another_took_over(
    ledger, proxy, small_bucket
) -> None:
    slow = proxy.add(delay(0.15), methods=["GET"], path=LISTING)
    process = start(ledger, small_bucket)
    (batch,) = until(ledger.listings.ids, pause=0.02)
    until(lambda: ledger.batches.progress(batch).spec.total >= 20, pause=0.02)
    process.send_signal(signal.SIGSTOP)
    expire_lease(ledger, batch)
    proxy.remove(slow)
    spec = submit(ledger, small_bucket)
    assert spec.id == batch
    process.send_signal(signal.SIGCONT)
    assert process.wait(30) == 1
    assert listed(spec) == photographs()
    assert ledger.batches.progress(batch).spec == spec
    assert ledger.batches.progress(batch).state == "open"


def test_an_operator_cancels_a_listing(ledger, proxy, small_bucket) -> None:
    proxy.add(delay(0.2), path=LISTING)
    process = start(ledger, small_bucket)
    (batch,) = until(ledger.listings.ids, pause=0.02)
    control.cancel(ledger, batch)
    assert process.wait(60) == 1
    progress = ledger.batches.progress(batch)
    assert progress.state == "failed"
    assert "Cancelled by an operator" in progress.stalled_reason
