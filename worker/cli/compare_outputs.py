"""`compare-outputs`, for `cutout compare`: compares what two batches have made."""

from pathlib import Path
from typing import Annotated

import typer

from contract.errors import ErrorCode, PermanentError
from contract.storage import canonical_location
from worker.comparison.page import page
from worker.comparison.pairs import pairs

Titles = Annotated[list[str], typer.Option("--title")]


def compare_outputs(first: str, second: str, output: Path, titles: Titles) -> None:
    """Write the page that compares the newest batches in two destinations."""
    compared = [*pairs(canonical_location(first), canonical_location(second))]
    try:
        output.write_text(page((titles[0], titles[1]), compared), encoding="utf-8")
    except OSError as error:
        raise PermanentError(
            ErrorCode.INVALID_LOCATION, f"{output} cannot be written ({error.strerror})."
        ) from None
