"""The files of a batch in its destination store: spec, private fields, manifest, outcome rows.

The manifest records what was listed. `cutout rebuild` restores the ledger from these files.
"""

from collections.abc import Iterable, Iterator

from contract import names
from contract.batch import BatchSpec
from contract.cutout import PrivateFields
from contract.errors import ErrorCode, PermanentError
from contract.job import ManifestLine
from contract.line_bits import has_bit, no_bits, set_bit
from contract.outcome import Outcome
from contract.storage import Store, open_store


def write_spec(spec: BatchSpec) -> None:
    body = spec.model_dump_json(indent=2).encode()
    open_store(spec.destination).put(names.spec_key(spec.id), body, "application/json")


def read_spec(batch: str, destination: str) -> BatchSpec:
    """Return the spec a batch was registered with. Raises PermanentError (`batch_unknown`)."""
    try:
        blob = open_store(destination).get(names.spec_key(batch))
    except PermanentError as error:
        if error.code in {ErrorCode.OBJECT_MISSING, ErrorCode.UNSAFE_KEY}:
            raise PermanentError(
                ErrorCode.BATCH_UNKNOWN, f"No batch {batch!r} found in {destination}."
            ) from None
        raise
    return BatchSpec.model_validate_json(blob.data)


def write_private_fields(batch: str, destination: str, fields: PrivateFields) -> None:
    body = fields.model_dump_json().encode()
    open_store(destination).put(names.private_fields_key(batch), body, "application/json")


def read_private_fields(batch: str, destination: str) -> PrivateFields:
    """Read a batch's private fields. Raises PermanentError (`object_missing`) if it has none."""
    blob = open_store(destination).get(names.private_fields_key(batch))
    return PrivateFields.model_validate_json(blob.data)


def manifest_lines(spec: BatchSpec, segment: int) -> list[ManifestLine]:
    """Read one segment of a batch's manifest."""
    blob = open_store(spec.destination).get(names.manifest_key(spec.id, segment))
    return [ManifestLine.model_validate_json(line) for line in blob.data.splitlines()]


def outcomes(store: Store, spec: BatchSpec, undrained: Iterable[str] = ()) -> Iterator[Outcome]:
    """Yield the latest outcome of each line, newest first.

    `undrained`: outcome rows that are still in the ledger, oldest first. A line may have several
    rows: a segment was written twice after a crash, the line was retried, or it was settled again
    because Redis lost its latest writes.
    """
    seen = no_bits(spec.total)
    for outcome in rows(store, spec.id, undrained):
        if not has_bit(seen, outcome.line):
            set_bit(seen, outcome.line)
            yield outcome


def rows(store: Store, batch: str, undrained: Iterable[str] = ()) -> Iterator[Outcome]:
    """Yield every outcome row, newest first; see `outcomes`."""
    yield from map(Outcome.model_validate_json, reversed(list(undrained)))
    segments = [item.key for item in store.list(names.outcomes_prefix(batch))]
    for key in reversed(segments):  # their names sort by time
        lines = store.get(key).data.splitlines()
        yield from map(Outcome.model_validate_json, reversed(lines))
