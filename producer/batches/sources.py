"""Lists the objects that a batch processes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from contract import names
from contract.errors import ErrorCode, PermanentError
from contract.storage import ObjectInfo, open_store


@dataclass(frozen=True, slots=True)
class Listing:
    """The objects below a source, without those of a destination inside it."""

    source: str
    excluded: str | None
    """key prefix of the destination; None if it is not below the source"""

    def __iter__(self) -> Iterator[ObjectInfo]:
        """Yield every object below the source, except outputs, reports and manifests."""
        for item in open_store(self.source).list():
            if self.excluded and item.key.startswith(self.excluded):
                continue
            if not names.is_reserved(item.key):
                yield item


def listing(source: str, destination: str) -> Listing:
    """Return the listing of a pair of canonical locations.

    A destination below the source is excluded from it. Raises PermanentError:
    `overlapping_locations` if outputs could overwrite sources, `invalid_location` if the source is
    not a folder.
    """
    inside = f"{source}/"
    if source == destination or inside.startswith(f"{destination}/"):
        raise PermanentError(
            ErrorCode.OVERLAPPING_LOCATIONS,
            "The source is inside the destination, so outputs could overwrite photographs.",
        )
    folder = Path(unquote(source.removeprefix("file://")))
    if source.startswith("file://") and not folder.is_dir():
        raise PermanentError(ErrorCode.INVALID_LOCATION, f"{str(folder)!r} is not a folder.")
    if not destination.startswith(inside):
        return Listing(source, None)
    prefix = destination.removeprefix(inside)
    return Listing(source, f"{unquote(prefix) if source.startswith('file://') else prefix}/")
