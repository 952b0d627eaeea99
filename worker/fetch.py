"""Reads a photograph from object storage, or from the URL that a cutout's source object names."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from contract.cutout import PrivateFields, stored_private_fields
from contract.errors import CutoutError, ErrorCode, PermanentError, RetryableError
from contract.job import ImageJob
from contract.safe_http import client
from contract.settings import Settings
from contract.storage import Blob, open_store


def fetch(job: ImageJob, config: Settings) -> Blob:
    """Return a photograph's bytes and ETag, at most `config.max_bytes`.

    Raises RetryableError or PermanentError (`object_missing`, `url_refused`, ...).
    """
    blob = open_store(job.source).get(job.photograph.key, config.max_bytes)
    if not job.source_is_url:
        return blob
    url = _private_fields(blob.data, job).url or ""
    data = client.fetch(url, config.max_bytes, allow=config.url_allowlist).data
    # the digest, because many web servers send no ETag
    return Blob(data, hashlib.sha256(data).hexdigest())


def fetch_backdrop(job: ImageJob, config: Settings) -> bytes | None:
    """Return the image behind the subject, or None if the job has none. Raises as `fetch`."""
    if job.backdrop is None:
        return None
    with naming_backdrop():
        data = open_store(job.source).get(job.backdrop.key, config.max_bytes).data
        if not job.backdrop.is_url:
            return data
        url = _private_fields(data, job).backdrop_url or ""
        return client.fetch(url, config.max_bytes, allow=config.url_allowlist).data


def _private_fields(text: bytes, job: ImageJob) -> PrivateFields:
    """Return private fields. Raises RetryableError (`release_mismatch`), for another worker."""
    try:
        return stored_private_fields(text, job.batch)
    except PermanentError as error:
        raise RetryableError(ErrorCode.RELEASE_MISMATCH, error.message) from None


@contextmanager
def naming_backdrop() -> Iterator[None]:
    """Say in an error that it is not the photograph's."""
    try:
        yield
    except CutoutError as error:
        raise type(error)(error.code, f"The background image: {error.message}") from error
