"""The locations of a new batch, as a user gave them: checked, and in their canonical form."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from contract import names
from contract.errors import ErrorCode, PermanentError
from contract.storage import canonical_location, open_store, split_object


@dataclass(frozen=True, slots=True)
class Locations:
    """Where photographs are read and outputs are written."""

    source: str
    destination: str
    key: str = ""
    """the only photograph, relative to `source`; empty: all below it"""


def resolve(source: str, destination: str) -> Locations:
    """Return the canonical locations of a batch.

    Raises PermanentError: `overlapping_locations` if outputs could overwrite photographs,
    `invalid_location`, `access_denied`.
    """
    source, destination = canonical_location(source), canonical_location(destination)
    folder = _path(source)
    if folder and folder.is_file():
        parent, key = canonical_location(str(folder.parent)), folder.name
    elif folder and not folder.is_dir():
        raise PermanentError(ErrorCode.INVALID_LOCATION, f"{str(folder)!r} is not a folder.")
    elif not folder and _is_object(source):
        parent, key = split_object(source)
    else:
        parent, key = source, ""
    inner, outer = _without_empty_parts(parent), _without_empty_parts(destination)
    if f"{inner}/".startswith(f"{outer}/"):
        raise PermanentError(
            ErrorCode.OVERLAPPING_LOCATIONS,
            "The source is inside the destination, so outputs could overwrite photographs.",
        )
    return Locations(parent, destination, key)


def _without_empty_parts(location: str) -> str:
    """Return the location that servers which keep objects in folders take it for."""
    return re.sub("(?<!:)/+", "/", location)


def _is_object(location: str) -> bool:
    """Return whether an s3:// location names a photograph, and not a prefix of some."""
    parent, key = split_object(location)
    if not re.fullmatch("s3://.+", parent) or not names.is_image(key):
        return False
    return open_store(parent).head(key) is not None


def is_below(destination: str, source: str) -> Callable[[str], bool]:
    """Return a test of a key of `source`: whether it lies in `destination` or among our files.

    Both locations are canonical. Such keys are outputs, reports and manifests.
    """
    inside = f"{source}/"
    if not destination.startswith(inside):
        return names.is_reserved
    relative = destination.removeprefix(inside)
    prefix = f"{unquote(relative) if source.startswith('file://') else relative}/"
    return lambda key: key.startswith(prefix) or names.is_reserved(key)


def _path(location: str) -> Path | None:
    if location.startswith("file://"):
        return Path(unquote(location.removeprefix("file://")))
    return None
