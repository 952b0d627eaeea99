"""`cutout verify`."""

import csv
import json
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Protocol

import typer

from contract import names
from contract.errors import CutoutError, ErrorCode, PermanentError
from contract.presets import PRESETS
from contract.settings import settings
from contract.storage import Store, canonical_location, open_store, split_object
from worker.imaging.decode import Limits
from worker.verify import Verdict
from worker.verify import verify as verify_data

Locations = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE|PREFIX...",
        help="Files, folders, s3://bucket/key or s3://bucket/prefix.",
    ),
]
PresetName = Annotated[
    str, typer.Option("--preset", "-p", metavar="NAME", help=f"One of {', '.join(PRESETS)}.")
]


class OutputFormat(StrEnum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"


Format = Annotated[
    OutputFormat,
    typer.Option(
        help="`table`: a line per file; `json`: an object per file; `csv`: a row per check."
    ),
]


def verify(locations: Locations, preset: PresetName, format: Format = OutputFormat.TABLE) -> None:  # noqa: A002
    """Check that image files fulfil a preset's requirements, such as those of Amazon.

    Measures each file as it is stored: its background to the last bit, how much of the frame the
    subject fills, sides, bytes, format, colour space. Names each check that fails, with the figure
    and the requirement. docs/reference/presets.md lists the requirements.

    Exit status: 0 every file passes; 1 one fails, or nothing could be checked; 2 wrong usage.
    """
    if preset not in PRESETS:
        raise typer.BadParameter(f"{preset!r} is not a preset", param_hint="--preset")
    limits = Limits(pixels=settings().max_pixels)
    printer = _PRINTERS[format]()
    failed = checked = 0
    for shown, store, key in _files(locations):
        checked += 1
        try:
            data = store.get(key, settings().max_bytes).data
            outcome: Verdict | CutoutError = verify_data(data, PRESETS[preset], limits)
        except CutoutError as error:
            outcome = error
        failed += isinstance(outcome, CutoutError) or not outcome.passed
        printer.print(names.printable(shown), outcome)
    if not checked:
        raise PermanentError(ErrorCode.NOTHING_TO_DO, "No image was found there.")
    printer.end(checked, failed)
    raise typer.Exit(1 if failed else 0)


def _files(locations: list[str]) -> Iterator[tuple[str, Store, str]]:
    """Yield each file as (location, store, key)."""
    for location in locations:
        folder, key = _split(location)
        store = open_store(canonical_location(folder))
        if key:
            yield location, store, key
            continue
        for item in store.list():
            if names.is_image(item.key) and not names.is_reserved(item.key):
                yield f"{folder}/{item.key}", store, item.key


def _split(location: str) -> tuple[str, str]:
    """Return (folder, key) of a file; the key is empty if the location is a folder or prefix."""
    if "://" not in location:
        path = Path(location)
        return (str(path.parent), path.name) if path.is_file() else (location.rstrip("/"), "")
    folder, key = split_object(canonical_location(location))
    if folder.count("/") >= 2 and names.is_image(key):  # noqa: PLR2004 - s3://bucket
        return folder, key
    return f"{folder}/{key}", ""


class Printer(Protocol):
    def print(self, location: str, outcome: Verdict | CutoutError) -> None: ...

    def end(self, checked: int, failed: int) -> None: ...


class _Table:
    def print(self, location: str, outcome: Verdict | CutoutError) -> None:
        if isinstance(outcome, CutoutError):
            typer.echo(f"FAIL  {location}  {outcome.code}: {outcome.message}")
        elif outcome.passed:
            figures = ", ".join(map(str, outcome.results))
            typer.echo(f"pass  {location}  {figures}")
        else:
            typer.echo(f"FAIL  {location}  {outcome.failures}")

    def end(self, checked: int, failed: int) -> None:
        typer.echo(f"{checked:,} checked: {checked - failed:,} pass, {failed:,} fail.")


class _Json:
    def print(self, location: str, outcome: Verdict | CutoutError) -> None:
        if isinstance(outcome, CutoutError):
            row = {"file": location, "passed": False, "code": outcome.code, "checks": []}
        else:
            checks = [
                {"check": r.check, "passed": r.passed, "figure": r.figure, "required": r.required}
                for r in outcome.results
            ]
            row = {"file": location, "passed": outcome.passed, "code": None, "checks": checks}
        typer.echo(json.dumps(row))

    def end(self, checked: int, failed: int) -> None:
        """Print nothing: the objects say everything."""


class _Csv:
    def __init__(self) -> None:
        self._writer = csv.writer(sys.stdout)
        self._writer.writerow(("file", "check", "passed", "figure", "required"))

    def print(self, location: str, outcome: Verdict | CutoutError) -> None:
        location = names.cell(location)
        if isinstance(outcome, CutoutError):
            self._writer.writerow((location, "", "false", outcome.code, ""))
            return
        for result in outcome.results:
            passed = "true" if result.passed else "false"
            row = (location, result.check, passed, names.cell(result.figure), result.required)
            self._writer.writerow(row)

    def end(self, checked: int, failed: int) -> None:
        """Print nothing: a further line would be no row."""


_PRINTERS: dict[OutputFormat, Callable[[], Printer]] = {
    OutputFormat.TABLE: _Table,
    OutputFormat.JSON: _Json,
    OutputFormat.CSV: _Csv,
}
