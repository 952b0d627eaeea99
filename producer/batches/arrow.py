"""Whether pyarrow is installed: it reads and writes Parquet, and is an optional dependency."""

from importlib.util import find_spec

from contract.errors import ErrorCode, PermanentError


def require_pyarrow(what: str = "Parquet") -> None:
    """Raise PermanentError (`extra_missing`) unless pyarrow, which `what` needs, is installed."""
    if find_spec("pyarrow") is None:
        raise PermanentError(ErrorCode.EXTRA_MISSING, f"{what} needs pyarrow, which is missing.")
