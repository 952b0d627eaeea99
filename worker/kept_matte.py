"""The matte that an earlier attempt kept: read instead of computed."""

import io

from PIL import Image

from contract.errors import ErrorCode, PermanentError
from contract.job import ImageJob
from contract.recipe import MATTE
from contract.storage import open_store
from worker.attempt import Attempt
from worker.imaging.formats import DECODER_ERRORS
from worker.imaging.matting import Matte


def fetch_matte(job: ImageJob, attempt: Attempt) -> bytes | None:
    """Return the file of the kept matte if it is current, or None. Raises as `Store.get`."""
    if MATTE.name not in attempt.outputs:
        return None
    key = job.output_key(MATTE)
    try:
        blob = open_store(job.destination).get(key)
    except PermanentError as error:
        if error.code is not ErrorCode.OBJECT_MISSING:
            raise
        return None
    # not one that was written since the check: it may be of another photograph
    return blob.data if blob.etag == attempt.output_etags[key] else None


def decode_matte(
    data: bytes | None, size: tuple[int, int], doubts: tuple[ErrorCode, ...]
) -> Matte | None:
    """Return a kept matte of a photograph's size, or None if the file holds no such picture."""
    if data is None:
        return None
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            image.verify()  # all checksums; `load` stops after the last pixel
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.mode != "L" or image.size != size:
                return None
            image.load()
            return Matte(image, doubts, "kept")
    except DECODER_ERRORS:
        return None
