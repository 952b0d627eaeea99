"""The spec, the private fields and the manifest of a batch, in its destination store.

The manifest records what was listed. `cutout rebuild` restores the ledger from these files and from
those of `outcome_files.py`.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator

from contract import names
from contract.batch import BatchSpec, stored_spec
from contract.cutout import PrivateFields, stored_private_fields
from contract.errors import ErrorCode, PermanentError
from contract.job import ManifestLine
from contract.storage.json_lines import get_lines, put_lines
from contract.storage.locations import open_store
from contract.storage.protocol import Store
from contract.stored import read_stored

DAMAGE = (PermanentError, ValueError, LookupError, TypeError, OSError, EOFError, zlib.error)
"""What reading a batch's damaged files raises. Pydantic's and JSON's errors are ValueErrors."""
OnDamaged = Callable[[str, Exception], None]
"""Called with the ID of a batch whose files are damaged, and what was raised."""


def write_spec(spec: BatchSpec) -> None:
    body = spec.model_dump_json(indent=2).encode()
    open_store(spec.destination).put(names.spec_key(spec.id), body, "application/json")


def ids(store: Store) -> list[str]:
    """Return the IDs of the batches with files in a destination, oldest first."""
    prefix = names.batch_prefix("b-").rstrip("/")
    folders = {item.key.split("/")[1] for item in store.list(prefix)}
    return sorted(filter(names.is_batch_id, folders))


def read_spec(batch: str, destination: str) -> BatchSpec:
    """Return the spec a batch was registered with.

    Raises PermanentError (`batch_unknown`, `newer_release`).
    """
    try:
        blob = open_store(destination).get(names.spec_key(batch))
    except PermanentError as error:
        if error.code in {ErrorCode.OBJECT_MISSING, ErrorCode.UNSAFE_KEY}:
            raise PermanentError(
                ErrorCode.BATCH_UNKNOWN, f"No batch {batch!r} found in {destination}."
            ) from None
        raise
    return stored_spec(batch, blob.data)


def write_private_fields(batch: str, destination: str, fields: PrivateFields) -> None:
    body = fields.model_dump_json().encode()
    open_store(destination).put(names.private_fields_key(batch), body, "application/json")


def read_private_fields(batch: str, destination: str) -> PrivateFields:
    """Read a batch's private fields. Raises PermanentError (`object_missing`, `newer_release`)."""
    blob = open_store(destination).get(names.private_fields_key(batch))
    return stored_private_fields(blob.data, batch)


def write_manifest_segment(
    store: Store, batch: str, segment: int, lines: Iterable[str | bytes], writer: str = ""
) -> None:
    """Write one segment of a manifest: ManifestLines as JSON. `writer`: see `manifest_key`."""
    put_lines(store, names.manifest_key(batch, segment, writer), lines)


def manifest_segment(spec: BatchSpec, segment: int) -> list[bytes]:
    """Read one segment of a batch's manifest: ManifestLines as JSON, about 1 MB."""
    return segment_at(spec.destination, spec.manifest_key(segment))


def segment_at(destination: str, key: str) -> list[bytes]:
    """Read a segment of a manifest by its key. Fit for a cache: hashing a BatchSpec is slow."""
    return get_lines(open_store(destination), key)


def manifest_lines(spec: BatchSpec, segment: int) -> Iterator[ManifestLine]:
    """Yield the lines of one segment of a batch's manifest."""
    return (stored_line(spec.id, line) for line in manifest_segment(spec, segment))


def manifest_line(spec: BatchSpec, line: int) -> ManifestLine:
    """Read one line of a batch's manifest."""
    segment, offset = divmod(line, spec.segment_lines)
    return stored_line(spec.id, manifest_segment(spec, segment)[offset])


def stored_line(batch: str, text: bytes) -> ManifestLine:
    """Return a line of a batch's manifest from JSON. Raises PermanentError (`newer_release`)."""
    return read_stored(ManifestLine.model_validate_json, text, f"The manifest of {batch}")
