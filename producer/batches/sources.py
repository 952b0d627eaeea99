"""Iterates what a batch is to work on."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

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

    Raises PermanentError: `overlapping_locations` where outputs could overwrite sources,
    `invalid_location` where the source is no folder. A destination below the source is fine: it
    is left out of the listing.
    """
    inside = f"{source}/"
    if source == destination or inside.startswith(f"{destination}/"):
        raise PermanentError(
            ErrorCode.OVERLAPPING_LOCATIONS,
            "The destination holds the source, so cut-outs could overwrite photographs.",
        )
    folder = Path(unquote(source.removeprefix("file://")))
    if source.startswith("file://") and not folder.is_dir():
        raise PermanentError(ErrorCode.INVALID_LOCATION, f"There is no folder {str(folder)!r}.")
    if not destination.startswith(inside):
        return Listing(source, None)
    below = destination.removeprefix(inside)
    return Listing(source, f"{unquote(below) if source.startswith('file://') else below}/")
