"""Iterates what a batch is to work on."""

from collections.abc import Iterator
from dataclasses import dataclass

from contract import names
from contract.errors import ErrorCode, PermanentError
from contract.storage import ObjectInfo, open_store


@dataclass(frozen=True, slots=True)
class Listing:
    """A location, and the part of it that is our own destination and so is no source."""

    source: str
    excluded: str | None

    def __iter__(self) -> Iterator[ObjectInfo]:
        """Yield every object below the source, ours excepted."""
        for item in open_store(self.source).list():
            if self.excluded and item.key.startswith(self.excluded):
                continue
            if not names.is_reserved(item.key):
                yield item


def listing(source: str, destination: str) -> Listing:
    """Return the listing of a pair of canonical locations.

    Raises PermanentError (`overlapping_locations`) where outputs could overwrite sources. A
    destination below the source is fine: it is left out of the listing.
    """
    inside = f"{source}/"
    if source == destination or inside.startswith(f"{destination}/"):
        raise PermanentError(
            ErrorCode.OVERLAPPING_LOCATIONS,
            "The destination holds the source, so cut-outs could overwrite photographs.",
        )
    if not destination.startswith(inside):
        return Listing(source, None)
    below = open_store(destination).uri.removeprefix(f"{open_store(source).uri}/")
    return Listing(source, f"{_plain(below, source)}/")


def _plain(path: str, source: str) -> str:
    from urllib.parse import unquote  # noqa: PLC0415

    return unquote(path) if source.startswith("file://") else path
