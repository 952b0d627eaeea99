"""API keys, kept as SHA-256 digests in a file with one line `NAME SCOPES DIGEST` per key."""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from contract.errors import ErrorCode, PermanentError
from contract.paths import expand
from contract.settings import Settings

PREFIX = "cut_"
"""Every key starts with it, so that secret scanners can recognise a leaked one."""


class Scope(StrEnum):
    """What a key permits."""

    SUBMIT = "submit"
    """create and delete cutouts, announce objects"""
    READ = "read"
    """read cutouts, batches and models"""
    ADMIN = "admin"
    """create, pause, resume, cancel and retry batches"""


@dataclass(frozen=True, slots=True)
class Key:
    """A key as the file knows it, without its text."""

    name: str
    scopes: frozenset[Scope]
    digest: str
    """SHA-256 of the key's text, in hexadecimal"""

    def line(self) -> str:
        return f"{self.name} {','.join(sorted(self.scopes))} {self.digest}\n"


def create(name: str, scopes: Iterable[Scope]) -> tuple[str, Key]:
    """Return the text of a new key, which is shown once, and what is kept of it.

    A fast hash is enough: 256 random bits cannot be guessed.
    """
    text = PREFIX + secrets.token_urlsafe(32)
    return text, Key(name, frozenset(scopes), digest(text))


def add(settings: Settings, name: str, scopes: Iterable[Scope]) -> str:
    """Add a new key to the file; return its text. Raises PermanentError (`invalid_setting`)."""
    if settings.api_keys is None:
        raise PermanentError(ErrorCode.INVALID_SETTING, "CUTOUT_API_KEYS is not set.")
    if not name.isidentifier():
        raise PermanentError(
            ErrorCode.INVALID_SETTING,
            f"The name {name!r} may only have letters, digits and underscores.",
        )
    path = expand(settings.api_keys)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and any(key.name == name for key in load(path)):
        raise PermanentError(ErrorCode.INVALID_SETTING, f"{path} already has a key named {name!r}.")
    text, key = create(name, scopes)
    with path.open("a") as file:
        path.chmod(0o600)
        file.write(key.line())
    return text


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def load(path: Path) -> list[Key]:
    """Read the keys of a file. Raises PermanentError (`invalid_setting`) naming a wrong line."""
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
            name, scopes, key_digest = line.split()
            keys.append(Key(name, frozenset(map(Scope, scopes.split(","))), key_digest))
        except ValueError:
            raise PermanentError(
                ErrorCode.INVALID_SETTING,
                f"CUTOUT_API_KEYS: line {number} of {path} is not `NAME SCOPES DIGEST`.",
            ) from None
    return keys


def find(keys: Iterable[Key], text: str) -> Key | None:
    """Return the key with this text, or None. The duration does not depend on which one it is."""
    wanted, match = digest(text), None
    for key in keys:
        if hmac.compare_digest(key.digest, wanted):
            match = key
    return match
