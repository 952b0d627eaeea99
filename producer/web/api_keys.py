"""API keys: made here, kept as digests in a file of lines `NAME SCOPES SHA256`."""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from contract.errors import ErrorCode, PermanentError
from contract.settings import Settings

PREFIX = "cut_"


class Scope(StrEnum):
    SUBMIT = "submit"
    READ = "read"
    ADMIN = "admin"
    """batches: submit, pause, resume, cancel, retry"""


@dataclass(frozen=True, slots=True)
class Key:
    name: str
    scopes: frozenset[Scope]
    digest: str

    def line(self) -> str:
        return f"{self.name} {','.join(sorted(self.scopes))} {self.digest}\n"


def make(name: str, scopes: Iterable[Scope]) -> tuple[str, Key]:
    """Return a new key's text, which is shown once, and its row.

    256 random bits need no slow hash: nobody can try them all.
    """
    text = PREFIX + secrets.token_urlsafe(32)
    return text, Key(name, frozenset(scopes), digest(text))


def add(config: Settings, name: str, scopes: Iterable[Scope]) -> str:
    """Add a new key to the file; return its text. Raises PermanentError (`invalid_setting`)."""
    if config.api_keys is None:
        raise PermanentError(ErrorCode.INVALID_SETTING, "CUTOUT_API_KEYS is not set.")
    if not name.isidentifier():
        raise PermanentError(ErrorCode.INVALID_SETTING, f"{name!r} has to be a plain word.")
    path = config.api_keys.expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and any(key.name == name for key in load(path)):
        raise PermanentError(ErrorCode.INVALID_SETTING, f"{path} has a key {name!r} already.")
    text, key = make(name, scopes)
    with path.open("a") as file:
        path.chmod(0o600)
        file.write(key.line())
    return text


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def load(path: Path) -> list[Key]:
    """Read a file of keys. Raises PermanentError (`invalid_setting`) naming the line."""
    keys = []
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise PermanentError(
            ErrorCode.INVALID_SETTING, f"CUTOUT_API_KEYS: {path} cannot be read ({error.strerror})."
        ) from None
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            name, scopes, kept = line.split()
            keys.append(Key(name, frozenset(map(Scope, scopes.split(","))), kept))
        except ValueError:
            raise PermanentError(
                ErrorCode.INVALID_SETTING, f"CUTOUT_API_KEYS: line {number} of {path} is no key."
            ) from None
    return keys


def find(keys: Iterable[Key], text: str) -> Key | None:
    """Return the row of a key, comparing with every row in constant time."""
    asked, found = digest(text), None
    for key in keys:
        if hmac.compare_digest(key.digest, asked):
            found = key
    return found
