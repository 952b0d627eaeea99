"""The one door to Redis: its client is imported here alone, and its errors become ours here."""

import contextlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from contract.errors import ErrorCode, PermanentError, RetryableError
from contract.settings import ANSWER_SECONDS

SCRIPTS = Path(__file__).parent / "lua"


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn redis-py's errors into ours. Their texts may hold the URL, so they are not kept."""
    try:
        yield
    except (redis.AuthenticationError, redis.exceptions.NoPermissionError):
        raise PermanentError(
            ErrorCode.REDIS_UNAVAILABLE, "Redis refused the credentials."
        ) from None
    except (redis.RedisError, OSError) as error:
        raise RetryableError(
            ErrorCode.REDIS_UNAVAILABLE, f"Redis did not answer ({type(error).__name__})."
        ) from None


class Connection:
    """A pool of connections, and the scripts in `lua/`. Make it after a fork, never before."""

    def __init__(self, url: str, patience: int = 8, timeout: float = ANSWER_SECONDS) -> None:
        """Connect lazily. `patience` retries, up to 2 s apart, ride out a restart of Redis.

        `timeout` is for Redis to answer once.
        """
        try:
            self.client: Any = redis.Redis.from_url(
                url,
                decode_responses=True,
                socket_timeout=timeout,
                socket_connect_timeout=timeout,
                health_check_interval=10,
                retry=Retry(ExponentialWithJitterBackoff(cap=2, base=0.1), patience),
                retry_on_error=[redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError],
            )
        except ValueError:
            raise PermanentError(
                ErrorCode.INVALID_SETTING,
                "CUTOUT_REDIS_URL is no redis://, rediss:// or unix:// URL.",
            ) from None

    @cached_property
    def scripts(self) -> dict[str, Any]:
        """By name, each called with `keys` and `args`."""
        return {
            path.stem: self.client.register_script(path.read_text())
            for path in SCRIPTS.glob("*.lua")
        }
