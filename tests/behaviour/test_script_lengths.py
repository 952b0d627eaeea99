"""How many commands one call of a script runs: meanwhile Redis serves nobody else."""

import time
from collections.abc import Iterable

import pytest

from contract import names
from contract.batch import BatchSpec
from contract.ledger.records import SCRIPT_LINES
from contract.ledger.redis_ledger import RedisLedger
from contract.outcome import Outcome, Status
from contract.recipe import Recipe

BATCH = "b-20260101-000000-000000"
LINES = 2000
"""Twenty times what one call may handle."""
MAX_COMMANDS = 1250
"""Twice as many took up to 4 ms on a busy machine with two cores."""
SETS = ("issued", "quarantined", "claimed", "deferred")


class Longest:
    """The most commands that one call of each script has run."""

    def __init__(self, ledger: RedisLedger) -> None:
        self._redis = ledger.connection.client
        self._run = ledger.connection.run
        self.commands: dict[str, int] = {}

    def __call__(self, script: str, keys: Iterable[str], *arguments: str | float) -> object:
        self._redis.config_resetstat()
        answer = self._run(script, [*keys], *arguments)
        calls = sum(row["calls"] for row in self._redis.info("commandstats").values())
        self.commands[script] = max(calls, self.commands.get(script, 0))
        return answer


@pytest.fixture
def longest(ledger: RedisLedger, monkeypatch) -> Longest:
    """An open batch of LINES lines, and what its scripts run."""
    spec = BatchSpec(
        id=BATCH, source="file:///in", destination="file:///out",
        recipe=Recipe(model="u2netp"), created=time.time(), total=LINES, segment_lines=10_000,
    )  # fmt: skip
    ledger.batches.register(spec)
    ledger.batches.open(BATCH)
    longest = Longest(ledger)
    monkeypatch.setattr(ledger.connection, "run", longest)
    return longest


def spread(ledger: RedisLedger, due: float) -> None:
    """Put every line into one of the four sets, and set the cursor back, as a retry does."""
    redis = ledger.connection.client
    for number, part in enumerate(SETS):
        redis.zadd(names.redis_key(BATCH, part), dict.fromkeys(range(number, LINES, 4), due))
    redis.hset(names.redis_key(BATCH), "cursor", 0)


def settle(ledger: RedisLedger, lines: Iterable[int], status: Status) -> None:
    ledger.lines.finish_all(BATCH, (Outcome(line=n, key="a", status=status) for n in lines))


@pytest.mark.slow
def test_no_call_of_a_script_grows_with_the_batch(ledger: RedisLedger, longest: Longest) -> None:
    while ledger.lines.issue(BATCH, LINES, LINES, 60).bulk:
        pass
    assert ledger.batches.progress(BATCH).issued == LINES
    ledger.connection.client.delete(names.redis_key(BATCH, "issued"))
    spread(ledger, time.time() + 60)
    for _ in range(LINES // SCRIPT_LINES):
        assert ledger.lines.issue(BATCH, LINES, 2 * LINES, 60, 2 * LINES).bulk == []
    ledger.batches.pause(BATCH, "why")
    assert ledger.batches.resume(BATCH) == LINES * 3 // 4
    ledger.batches.reset_messages("bulk")
    assert ledger.batches.progress(BATCH).deferred == LINES
    assert (
        len(ledger.lines.reissue(BATCH, SCRIPT_LINES, 60, 0, ("", ""), LINES).bulk) == SCRIPT_LINES
    )

    settle(ledger, (n for n in range(LINES) if n % 8), Status.FAILED)  # one line per byte is left
    ledger.connection.client.hset(names.redis_key(BATCH, "retries"), "0", 1)
    assert len(ledger.lines.unclaimed(BATCH, 0, SCRIPT_LINES).attempts) == SCRIPT_LINES
    failed = LINES - LINES // 8
    assert ledger.batches.reopen(BATCH, range(LINES), "poisoned before") == failed
    settle(ledger, range(LINES), Status.DONE)
    epoch = ledger.batches.progress(BATCH).epoch
    assert ledger.batches.reopen_unreported(BATCH, epoch, None, range(SCRIPT_LINES))

    measured = longest.commands
    assert {"issue", "reissue", "recall", "unclaimed", "reopen", "reopen_unreported"} <= {*measured}
    assert {name: most for name, most in measured.items() if most > MAX_COMMANDS} == {}
    assert measured["issue"] > SCRIPT_LINES
