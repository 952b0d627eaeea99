"""Checks outputs: each exists, decodes, and has the right source, recipe and size."""

import io
import os
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from PIL import Image

from contract import names
from contract.batch import BatchSpec
from contract.errors import CutoutError, PermanentError
from contract.outcome import Outcome, Status
from contract.output_keys import output_key
from contract.rendition import Rendition
from contract.storage import Blob, open_store
from worker.audit.findings import Fault, Finding
from worker.imaging.decode import displayed_size
from worker.imaging.formats import DECODER_ERRORS


def check_outputs(spec: BatchSpec, outcomes: list[Outcome]) -> Iterator[Finding]:
    """Yield what is wrong with the outputs of images.

    Those that are done or skipped must have one for each rendition; failed ones those that their
    outcome names.
    """
    outputs = [
        (outcome, rendition)
        for outcome in outcomes
        for rendition in _expected_renditions(spec, outcome)
    ]
    with ThreadPoolExecutor(4 * (os.cpu_count() or 1)) as pool:  # they mostly wait for storage
        for findings in pool.map(lambda pair: _check_output(spec, *pair), outputs):
            yield from findings


def _expected_renditions(spec: BatchSpec, outcome: Outcome) -> list[Rendition]:
    if outcome.status is not Status.FAILED:
        return [*spec.recipe.outputs]
    written = {output.name for output in outcome.outputs}
    return [rendition for rendition in spec.recipe.outputs if rendition.name in written]


def _check_output(spec: BatchSpec, outcome: Outcome, rendition: Rendition) -> list[Finding]:
    """Return what is wrong with one output: also that it cannot be read, which stops no other."""
    try:
        return _findings(spec, outcome, rendition)
    except PermanentError as error:
        message = f"The output of {outcome.key!r} cannot be read ({error.code}: {error.message})"
        return [Finding(Fault.OUTPUT_BROKEN, message, outcome.line)]


def _findings(spec: BatchSpec, outcome: Outcome, rendition: Rendition) -> list[Finding]:
    key = output_key(spec.recipe, rendition)(outcome.key)
    if any(output.review for output in outcome.outputs if output.name == rendition.name):
        key = names.review_key(key)
    store = open_store(spec.destination)
    head = store.head(key)
    if head is None:
        message = f"The output {key!r} does not exist."
        return [Finding(Fault.OUTPUT_MISSING, message, outcome.line)]
    findings = []
    for fault, name, expected in (
        (Fault.OUTPUT_SOURCE, "source-etag", outcome.source_etag),
        (Fault.OUTPUT_RECIPE, "recipe", spec.recipe.digest_of(rendition)),
    ):
        actual = head.metadata.get(name)
        if actual != expected:
            writer = head.metadata.get("batch", "another program")
            message = f"{key!r} has the {name} {actual}, not {expected}; {writer} wrote it."
            findings.append(Finding(fault, message, outcome.line))
    try:
        size = _decoded_size(store.get(key), rendition)
    except (*DECODER_ERRORS, zipfile.BadZipFile) as error:
        message = f"{key!r} cannot be decoded ({type(error).__name__}: {error})."
        return [*findings, Finding(Fault.OUTPUT_BROKEN, message, outcome.line)]
    expected_size = _expected_size(spec, outcome, rendition)
    if expected_size and size != expected_size:
        message = "{!r} has {}x{} pixels, not {}x{}.".format(key, *size, *expected_size)
        findings.append(Finding(Fault.OUTPUT_SIZE, message, outcome.line))
    return findings


def _decoded_size(blob: Blob, rendition: Rendition) -> tuple[int, int]:
    """Return (width, height) of an output after decoding all its pixels.

    Raises ValueError if it has another mode than the rendition, or what Pillow raises.
    """
    match rendition.format:
        case "zip":
            with zipfile.ZipFile(io.BytesIO(blob.data)) as archive:
                colours, matte = archive.read("color.jpg"), archive.read("alpha.png")
            if _size_of(colours, "JPEG", {"RGB"}) != _size_of(matte, "PNG", {"L"}):
                raise ValueError("color.jpg and alpha.png differ in size")
            return _size_of(matte, "PNG", {"L"})
        case "jpg":
            return _size_of(blob.data, "JPEG", {"RGB"})
        case "webp" | "avif":  # without an alpha if it is opaque
            return _size_of(blob.data, rendition.format.upper(), {"RGB", "RGBA"})
        case "png":
            return _size_of(blob.data, "PNG", {"L" if rendition.channels == "alpha" else "RGBA"})


def _size_of(data: bytes, image_format: str, modes: set[str]) -> tuple[int, int]:
    Image.MAX_IMAGE_PIXELS = None  # a canvas may be larger than any photograph
    with Image.open(io.BytesIO(data), formats=[image_format]) as image:
        image.verify()  # all checksums of a PNG; `load` stops after the last pixel
    with Image.open(io.BytesIO(data), formats=[image_format]) as image:
        image.load()
        if image.mode not in modes:
            raise ValueError(f"its mode is {image.mode}")
        return image.size


def _expected_size(
    spec: BatchSpec, outcome: Outcome, rendition: Rendition
) -> tuple[int, int] | None:
    """Return the (width, height) that an output must have, or None if that is not known.

    A plain output has the size of its photograph. If the photograph is gone or changed, and for
    other renditions, this is the size in the outcome.
    """
    if rendition.is_plain:
        with suppress(CutoutError):
            blob = open_store(spec.source).get(outcome.key)
            if blob.etag == outcome.source_etag:
                return displayed_size(blob.data)
    for output in outcome.outputs:
        if output.name == rendition.name and output.width and output.height:
            return output.width, output.height
    return None
