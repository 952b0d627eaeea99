"""`cutout sheet`."""

import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from contract import names
from contract.errors import CutoutError, ErrorCode, PermanentError
from contract.outcome import Status, stored_outcome
from contract.settings import Settings, settings
from contract.storage import Store, batch_files, canonical_location, open_store
from contract.storage.json_lines import stream_lines
from worker.imaging.decode import Limits, decode
from worker.imaging.sheet import MAX_CELLS, Tile, draw_sheet, tile_of

Locations = Annotated[
    list[str],
    typer.Argument(
        metavar="PREFIX|FOLDER...", help="Folders or s3://bucket/prefix; each begins a new row."
    ),
]
Output = Annotated[
    Path,
    typer.Option(
        "--output", "-o", metavar="FILE", help="The picture to write: .png, .jpg or .webp."
    ),
]
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


class Entry(NamedTuple):
    """What one cell of the sheet shows."""

    store: Store
    key: str
    code: str = ""
    """of a photograph that failed, in the newest batch with a report"""


def sheet(locations: Locations, output: Output) -> None:
    """Draw a contact sheet of the pictures at one or several locations.

    Each picture lies on a checkerboard above its key. Photographs that failed in the newest batch
    whose report is there, and pictures that cannot be decoded, are red and show their code. At most
    400 cells are drawn.

    Exit status: 0 the sheet was written; 1 it was not; 2 wrong usage.
    """
    if output.suffix.lower() not in FORMATS:
        raise typer.BadParameter(
            f"the name must end in one of {', '.join(FORMATS)}", param_hint="--output"
        )
    groups, left = [], MAX_CELLS
    for location in locations:
        group = [*islice(_entries(location, output), left + 1)]
        groups.append(group[:left])
        if len(group) > left:
            typer.echo(f"Only the first {MAX_CELLS} pictures are drawn.", err=True)
        left -= len(groups[-1])
    if not any(groups):
        raise PermanentError(ErrorCode.NOTHING_TO_DO, "No image was found there.")
    tiles = (_tile(entry, settings()) for group in groups for entry in group)
    picture = draw_sheet([len(group) for group in groups], tiles)
    file = io.BytesIO()
    picture.save(file, FORMATS[output.suffix.lower()], quality=90)
    output.write_bytes(file.getvalue())
    typer.echo(f"{sum(map(len, groups)):,} pictures: {output}")


def _entries(location: str, output: Path) -> Iterator[Entry]:
    """Yield the failures of the newest batch, then the pictures, in the order of their keys."""
    store = open_store(canonical_location(location))
    yield from _failures(store)
    own = output.resolve()
    is_folder = "://" not in location
    for item in store.list():
        if is_folder and Path(location, item.key).resolve() == own:
            continue  # an earlier sheet
        if names.is_image(item.key) and not names.is_reserved(item.key):
            yield Entry(store, item.key)


def _failures(store: Store) -> Iterator[Entry]:
    for batch in sorted(batch_files.ids(store), reverse=True):
        key = names.report_key(batch, "jsonl.gz")
        if store.head(key) is None:
            continue
        for row in stream_lines(store, key):
            outcome = stored_outcome(batch, row)
            if outcome.status is Status.FAILED:
                yield Entry(store, outcome.key, outcome.code or "")
        return


def _tile(entry: Entry, config: Settings) -> Tile:
    caption = names.printable(entry.key)
    if entry.code:
        return Tile(caption, None, entry.code)
    try:
        data = entry.store.get(entry.key, config.max_bytes).data
        return tile_of(decode(data, Limits(pixels=config.max_pixels)), caption)
    except CutoutError as error:
        return Tile(caption, None, error.code)
