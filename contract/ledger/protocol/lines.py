"""What a ledger does with the lines of a batch."""

from collections.abc import Iterable
from typing import Protocol

from contract.batch import State
from contract.ledger.records import (
    MAX_OUTSTANDING,
    RESULT_OK,
    Claim,
    ClaimRefused,
    Issued,
    Unclaimed,
)
from contract.outcome import Outcome, OutcomeRow


class Lines(Protocol):
    """The lines of a batch: issued, claimed, deferred, settled."""

    def issue(
        self, batch: str, limit: int, window: int, timeout: float,
        max_outstanding: int = MAX_OUTSTANDING,
    ) -> Issued:  # fmt: skip
        """Take up to `limit` further lines for publishing.

        At most `window` lines are then queued or being processed. Lines that wait for a retry or
        for the quarantine worker do not count, so that they do not hold up the others; with them,
        at most `max_outstanding` are outstanding.

        A line that is not settled or claimed within `timeout` seconds becomes overdue.
        """
        ...

    def reissue(
        self, batch: str, limit: int, timeout: float, grace: float, oldest: tuple[str, str],
        window: int = MAX_OUTSTANDING,
    ) -> Issued:  # fmt: skip
        """Take up to `limit` lines whose message was lost, whose lease ended or whose retry is due.

        Retries are taken only while fewer than `window` lines are queued or being processed.

        `grace`: seconds between a worker's receiving a message and its claim. `oldest`: see
        `Snapshot.oldest_queued`.
        """
        ...

    def unclaimed(self, batch: str, start: int, limit: int) -> Unclaimed:
        """Look at the next unsettled lines, up to `limit`, beginning with the line `start`."""
        ...

    def unacknowledged(self) -> list[str]:
        """Return the task IDs of messages that workers received and have not acknowledged."""
        ...

    def claim(
        self, batch: str, line: int, token: str, lease: float, *, quarantine: bool
    ) -> Claim | ClaimRefused:
        """Claim a line for `lease` seconds.

        `token` identifies this attempt; its prefix identifies the process (see `record_crash`).
        `quarantine`: True for the quarantine worker.
        """
        ...

    def renew(self, batch: str, line: int, token: str, lease: float) -> bool:
        """Extend the lease of a claimed line to `lease` seconds from now.

        Returns False if the line is not claimed by `token` any more.
        """
        ...

    def record_crash(self, batch: str, line: int, token_prefix: str, cause: str) -> bool:
        """Record that the process working on this line died, and why.

        Returns False if the line is not claimed by a token with that prefix.
        """
        ...

    def defer(
        self, batch: str, line: int, token: str, delay: float, code: str, worker: str = ""
    ) -> int:
        """Release a claimed line for a retry in `delay` seconds; return its retries so far.

        Returns 0 if the line is not claimed by `token`.
        """
        ...

    def finish(self, batch: str, outcome: Outcome, result: str = RESULT_OK) -> bool:
        """Settle a line. Returns False if it was settled before, or the batch is closed.

        `result`: the error code behind a failure, for the circuit breaker.
        """
        ...

    def finish_all(
        self,
        batch: str,
        outcomes: Iterable[Outcome],
        result: str = RESULT_OK,
        state: State | None = None,
    ) -> int:
        """Settle lines in one round trip; return how many were not settled before.

        `state`: settle none unless the batch is in this state now.
        """
        ...

    def outcomes(self, batch: str, limit: int) -> list[OutcomeRow]:
        """Return up to `limit` outcome rows, oldest first."""
        ...

    def newest_outcomes(self, batch: str, before: str, limit: int) -> list[OutcomeRow]:
        """Return up to `limit` outcome rows, newest first: those before the row ID `before`.

        `before` is empty for the first call.
        """
        ...

    def drop_outcomes(self, batch: str, last: str) -> None:
        """Delete outcome rows up to and including the row ID `last`."""
        ...
