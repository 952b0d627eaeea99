"""A connection to Redis: its client, the scripts, and errors translated to ours."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import redis
from redis.commands.core import Script

from contract import names
from contract.errors import ErrorCode, PermanentError
from contract.ledger.client import open_client
from contract.ledger.redis_errors import translate
from contract.redis_address import RedisAddress
from contract.settings import REPLY_SECONDS

SCRIPTS = Path(__file__).parent / "lua"


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn redis-py's errors into ours."""
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise translate(error) from None


class Connection:
    """A pool of connections, and the scripts in `lua/`. Create it after a fork, never before."""

    def __init__(
        self, address: RedisAddress | str, retries: int = 8, timeout: float = REPLY_SECONDS
    ) -> None:
        """Connect at the first call. Raises PermanentError (`invalid_setting`) for a wrong URL.

        A failed call is repeated up to `retries` times, at most 2 s apart: eight last through a
        restart of Redis. `timeout`: seconds to wait for one reply.
        """
        if isinstance(address, str):
            try:
                address = RedisAddress.parse(address)
            except ValueError as error:
                message = f"CUTOUT_REDIS_URL: {error}."
                raise PermanentError(ErrorCode.INVALID_SETTING, message) from None
        self.address = address
        self.client = open_client(address, retries, timeout)
        # read now: a `cached_property` of Python 3.11 holds a lock of its class meanwhile, which a
        # process that is forked in that moment would wait for, for ever
        self.scripts: dict[str, Script] = {
            path.stem: self.client.register_script(path.read_text())
            for path in SCRIPTS.glob("*.lua")
        }
        """the Lua scripts by name; call one with `keys` and `args`"""

    def close(self) -> None:
        """Close the open connections. The next call opens one again."""
        self.client.close()

    def server_info(self) -> dict[str, Any]:
        """Return the fields of Redis's INFO, with maxclients; empty if this user may not ask."""
        with translated():
            try:
                info: dict[str, Any] = dict(self.client.info())
            except redis.ResponseError:
                return {}
            if "maxclients" not in info:  # Redis before 7
                with contextlib.suppress(redis.ResponseError):
                    limits: Any = self.client.config_get("maxclients")
                    info |= limits
            return info

    def run(self, script: str, keys: Sequence[str], *arguments: str | float) -> Any:
        """Run a script. Raises RetryableError or PermanentError (`redis_unavailable`)."""
        with translated():
            return self.scripts[script](keys=list(keys), args=list(arguments))

    def run_for(
        self, script: str, batch: str, parts: Sequence[str], *arguments: str | float
    ) -> Any:
        """Run a script whose keys are parts of a batch; see `names.redis_keys`."""
        return self.run(script, names.redis_keys(batch, parts), *arguments)
