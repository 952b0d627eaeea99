"""Settings that must be equal in all processes of a cluster: if they differ, images run twice.

The processes that are running keep them in Redis. What nobody renews is forgotten, so that all
processes can be stopped and started with other values.
"""

import time

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
        if problem := _difference(workers, config):
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
        problem = _difference(self._workers, self._config)
        if problem and problem != self._problem:
            log.error("shared settings differ", reason=problem)
        self._problem, self._due = problem, time.monotonic() + RENEW_SECONDS


def _difference(workers: Workers, config: Settings) -> str:
    own = {name: f"{getattr(config, name):g}" for name in SHARED}
    shared = workers.share_settings(own)
    for name, value in own.items():
        if shared.get(name, value) != value:
            return (
                f"CUTOUT_{name.upper()} is {value} here, but {shared[name]} in the processes that"
                " are running."
            )
    return ""
