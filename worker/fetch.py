"""Reads a photograph from object storage, or from the URL that a cutout's source object names."""

import hashlib

from contract.cutout import PrivateFields
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
    url = PrivateFields.model_validate_json(blob.data).url or ""
    result = client.fetch(url, config.max_bytes, allow=config.url_allowlist)
    # the digest, because many web servers send no ETag
    return Blob(result.data, hashlib.sha256(result.data).hexdigest())
