"""Where a photograph comes from: object storage, or a URL that a record in it names."""

import hashlib

from contract.cutout import PrivateFields
from contract.job import ImageJob
from contract.safe_http import client
from contract.settings import Settings
from contract.storage import Blob, open_store


def fetch(job: ImageJob, config: Settings) -> Blob:
    """Return a photograph's bytes. Raises what the store or the guard raises."""
    blob = open_store(job.source).get(job.photograph.key, config.max_bytes)
    if not job.source_is_url:
        return blob
    url = PrivateFields.model_validate_json(blob.data).url or ""
    found = client.fetch(url, config.max_bytes, allow=config.url_allowlist)
    # its own ETag says nothing to anybody else: many servers have none
    return Blob(found.data, hashlib.sha256(found.data).hexdigest())
