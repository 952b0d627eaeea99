"""The packages of others that write files for phones."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib import import_module
from typing import Any

from contract.errors import ErrorCode, PermanentError


def optional(module: str) -> Any:
    """Import a module of the extra `export`. Raises PermanentError (`extra_missing`)."""
    try:
        return import_module(module)
    except ModuleNotFoundError:
        package = module.partition(".")[0]
        raise PermanentError(
            ErrorCode.EXTRA_MISSING, f"{package} is not installed: it is in the extra `export`."
        ) from None


@contextmanager
def silenced() -> Iterator[None]:
    """Discard what is printed meanwhile: converters report each step. Errors are raised."""
    sink = io.StringIO()
    with redirect_stdout(sink), redirect_stderr(sink):
        yield
