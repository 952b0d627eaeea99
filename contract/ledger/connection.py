"""The only module that imports redis: connections, scripts, and errors translated to ours."""

import contextlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.commands.core import Script
from redis.retry import Retry

from contract import names
from contract.errors import ErrorCode, PermanentError, RetryableError
from contract.settings import REPLY_SECONDS

SCRIPTS = Path(__file__).parent / "lua"


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn redis-py's errors into ours. Their texts may hold the URL, so they are dropped."""
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
    """A pool of connections, and the scripts in `lua/`. Create it after a fork, never before."""

    def __init__(self, url: str, retries: int = 8, timeout: float = REPLY_SECONDS) -> None:
        """Connect at the first call. Raises PermanentError (`invalid_setting`) for a wrong URL.

        A failed call is repeated up to `retries` times, at most 2 s apart: eight last through a
        restart of Redis. `timeout`: seconds to wait for one reply.
        """
        try:
            self.client = redis.Redis.from_url(
                url,
                decode_responses=True,
                socket_timeout=timeout,
                socket_connect_timeout=timeout,
                health_check_interval=10,
                retry=Retry(ExponentialWithJitterBackoff(cap=2, base=0.1), retries),
                retry_on_error=[redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError],
            )
        except ValueError:
            raise PermanentError(
                ErrorCode.INVALID_SETTING,
                "CUTOUT_REDIS_URL is not a redis://, rediss:// or unix:// URL.",
            ) from None

    @cached_property
    def scripts(self) -> dict[str, Script]:
        """The Lua scripts by name; call one with `keys` and `args`."""
        return {
            path.stem: self.client.register_script(path.read_text())
            for path in SCRIPTS.glob("*.lua")
        }

    def run(self, script: str, keys: Sequence[str], *arguments: str | float) -> Any:
        """Run a script. Raises RetryableError or PermanentError (`redis_unavailable`)."""
        with translated():
            return self.scripts[script](keys=list(keys), args=list(arguments))

    def run_for(
        self, script: str, batch: str, parts: Sequence[str], *arguments: str | float
    ) -> Any:
        """Run a script whose keys are parts of a batch; see `names.redis_keys`."""
        return self.run(script, names.redis_keys(batch, parts), *arguments)
