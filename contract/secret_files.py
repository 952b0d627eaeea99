"""Secrets in files: `CUTOUT_REDIS_URL_FILE=/run/secrets/redis` instead of the value itself.

As orchestrators mount them. What lies in the environment shows in `docker inspect`.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from contract.errors import ErrorCode, PermanentError

SUFFIX = "_FILE"
MAX_BYTES = 64 * 1024
"""A secret is shorter; a longer file is the wrong one."""


def secrets_in_files(environment: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Return the values of those variables whose NAME_FILE is set, without the last line break.

    `names`: variables that may be given so. Raises PermanentError (`invalid_setting`) if a variable
    is given twice or a file cannot be read; it names the variable, never the content.
    """
    found = {}
    for name in names:
        path = environment.get(name + SUFFIX)
        if not path:
            continue
        if environment.get(name):
            raise PermanentError(
                ErrorCode.INVALID_SETTING, f"{name} and {name}{SUFFIX} are both set."
            )
        found[name] = _content(name + SUFFIX, Path(path))
    return found


def _content(variable: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        text = data.decode()
    except OSError as error:
        raise _unreadable(variable, path, str(error.strerror)) from None
    except UnicodeDecodeError:
        raise _unreadable(variable, path, "it is no text") from None
    if len(data) > MAX_BYTES:
        raise _unreadable(variable, path, "it is too long for a secret")
    return text.rstrip("\r\n")


def _unreadable(variable: str, path: Path, reason: str) -> PermanentError:
    return PermanentError(
        ErrorCode.INVALID_SETTING, f"{variable}: {path} cannot be read: {reason}."
    )
