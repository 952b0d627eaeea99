"""Settings that must be equal in all processes of a cluster: if they differ, images run twice.

The processes that are running keep them in Redis. What nobody renews is forgotten, so that all
processes can be stopped and started with other values.
"""

import time
from collections.abc import Mapping

import structlog

from contract.errors import ErrorCode, PermanentError, RetryableError
from contract.ledger.protocol import Workers
from contract.settings import Settings

log = structlog.get_logger(__name__)

SHARED = ("time_limit", "visibility_timeout")
"""Fields of `Settings`. The broker redelivers a message after the visibility timeout of whichever
process looks first; that must be longer than the time limit of the worker that has it."""
RENEW_SECONDS = 10
"""Interval at which running processes renew them."""


def check_shared(workers: Workers, config: Settings) -> None:
    """Raise PermanentError (`settings_differ`) if running processes have other values.

    Passes if Redis does not answer: a process may start before Redis does.
    """
    try:
        if problem := difference(config, workers.share_settings(_own(config))):
            raise PermanentError(ErrorCode.SETTINGS_DIFFER, problem)
    except RetryableError as error:
        log.warning("shared settings not checked", reason=str(error))


class SharedSettings:
    """Renews this process's values. Logs once if other processes run with different ones.

    That happens only if they were started while Redis was away.
    """

    def __init__(self, workers: Workers, config: Settings) -> None:
        self._workers = workers
        self._config = config
        self._due = 0.0
        self._problem = ""

    def renew(self) -> None:
        """Renew the values if that is due. Raises RetryableError (`redis_unavailable`)."""
        if time.monotonic() < self._due:
            return
        problem = difference(self._config, self._workers.share_settings(_own(self._config)))
        if problem and problem != self._problem:
            log.error("shared settings differ", reason=problem)
        self._problem, self._due = problem, time.monotonic() + RENEW_SECONDS


def _own(config: Settings) -> dict[str, str]:
    return {name: f"{getattr(config, name):g}" for name in SHARED}


def difference(config: Settings, shared: Mapping[str, str]) -> str:
    """Return how these settings differ from the stored ones, in a sentence; empty if they agree."""
    for name, value in _own(config).items():
        if shared.get(name, value) != value:
            return (
                f"CUTOUT_{name.upper()} is {value} here, but {shared[name]} in the processes that"
                " are running."
            )
    return ""
