"""Whether pyarrow is installed: it reads and writes Parquet, and is an optional dependency."""

from importlib.util import find_spec

from contract.errors import ErrorCode, PermanentError


def require_pyarrow() -> None:
    """Raise PermanentError (`extra_missing`) unless pyarrow is installed."""
    if find_spec("pyarrow") is None:
        raise PermanentError(ErrorCode.EXTRA_MISSING, "Parquet needs pyarrow, which is missing.")
