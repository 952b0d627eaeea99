"""Paths as users write them: `~` is the home folder; a relative one is below the current folder.

Either folder may not exist, and Python's errors about it name nothing that a user could change.
"""

import errno
from pathlib import Path

from contract.errors import ErrorCode, PermanentError


def expand(path: Path) -> Path:
    """Return a path with `~` replaced. Raises PermanentError (`invalid_setting`)."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise PermanentError(
            ErrorCode.INVALID_SETTING,
            f"The home folder in {str(path)!r} is not known: HOME is not set, and the system does"
            " not know this user. Set HOME, or name a folder without `~`.",
        ) from None


def resolve(path: Path) -> Path:
    """Return an absolute path without links.

    Raises PermanentError: `invalid_setting` as `expand`, `invalid_location` for a relative path if
    the current folder was deleted, or for a loop of links.
    """
    path = expand(path)
    try:
        resolved = path.resolve()
        loop = _is_loop(resolved)  # for which Python 3.13 raises nothing
    except FileNotFoundError:
        raise PermanentError(
            ErrorCode.INVALID_LOCATION,
            f"{str(path)!r} is relative to the current folder, which no longer exists.",
        ) from None
    except RuntimeError:
        loop = True
    if loop:
        raise PermanentError(
            ErrorCode.INVALID_LOCATION, f"{str(path)!r} is a loop of symbolic links."
        )
    return resolved


def _is_loop(path: Path) -> bool:
    try:
        path.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def as_typed(path: Path) -> str:
    """Return a path as a user would type it: relative if it is below the current folder."""
    try:
        here = Path.cwd()
    except FileNotFoundError:
        return str(path)
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
