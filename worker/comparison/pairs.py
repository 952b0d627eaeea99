"""The outputs of two batches, photograph by photograph, and how much their mattes differ."""

import io
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from contract import names
from contract.errors import CutoutError
from contract.outcome import Outcome, Output, stored_outcome
from contract.recipe import MATTE
from contract.storage import Store, batch_files, open_store
from contract.storage.json_lines import stream_lines
from worker.imaging.decode import decode
from worker.imaging.difference import Difference, difference
from worker.imaging.formats import DECODER_ERRORS
from worker.verify import WITHOUT_LIMIT

PICTURE_SIDE = 480
"""Longer side of a picture on the page, in pixels."""


@dataclass(frozen=True, slots=True)
class Side:
    """What one of the two recipes made of a photograph."""

    store: Store
    outcome: Outcome | None

    @property
    def failure(self) -> str:
        """The code of a photograph that failed; empty if it was processed."""
        return "not processed" if self.outcome is None else self.outcome.code or ""

    def output(self, *, matte: bool) -> Output | None:
        """Return the kept matte, or the first other output."""
        outputs = self.outcome.outputs if self.outcome else []
        return next((one for one in outputs if (one.name == MATTE.name) == matte), None)

    def matte(self) -> Image.Image | None:
        output = self.output(matte=True)
        if output is None:
            return None
        Image.MAX_IMAGE_PIXELS = None  # its photograph was within CUTOUT_MAX_PIXELS
        try:
            with Image.open(io.BytesIO(self.store.get(output.key).data), formats=["PNG"]) as image:
                return image.convert("L")
        except (CutoutError, *DECODER_ERRORS):
            return None

    def picture(self) -> bytes | None:
        """Return the first output as a small WebP with its transparency, or None without one."""
        output = self.output(matte=False)
        if output is None:
            return None
        try:
            shown = decode(self.store.get(output.key).data, WITHOUT_LIMIT)
        except CutoutError:  # also a zip
            return None
        image = shown.rgb.convert("RGBA")
        if shown.alpha:
            image.putalpha(shown.alpha)
        premultiplied = image.convert("RGBa")
        premultiplied.thumbnail((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.BOX)
        file = io.BytesIO()
        premultiplied.convert("RGBA").save(file, "WEBP", quality=80)
        return file.getvalue()


@dataclass(frozen=True, slots=True)
class Pair:
    """One photograph, processed twice."""

    key: str
    sides: tuple[Side, Side]
    difference: Difference | None
    """None if one of the two has no matte"""


def pairs(first: str, second: str) -> Iterator[Pair]:
    """Yield the photographs of the newest batches in two destinations, each processed once."""
    stores = open_store(first), open_store(second)
    rows = [{row.key: row for row in _outcomes(store)} for store in stores]
    for key in sorted({*rows[0], *rows[1]}):
        one, other = (Side(store, row.get(key)) for store, row in zip(stores, rows, strict=True))
        yield Pair(key, (one, other), _difference(one.matte(), other.matte()))


def _outcomes(store: Store) -> Iterator[Outcome]:
    batch = batch_files.ids(store)[-1]
    key = names.report_key(batch, "jsonl.gz")
    return (stored_outcome(batch, row) for row in stream_lines(store, key))


def _difference(one: Image.Image | None, other: Image.Image | None) -> Difference | None:
    if one is None or other is None or one.size != other.size:
        return None
    return difference(one, other)
