"""Records of cutouts in the server's own store, so that they survive the loss of Redis.

`open/`   written before a cutout is registered, deleted once it has ended and its callback is
          delivered: as many objects as cutouts are queued
`ended/`  its spec and its outcome, kept for RECORD_SECONDS

Deleting a cutout deletes its record first. What a record lacks is not needed again: the photograph
and the private fields are objects of their own.
"""

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field

from contract import names
from contract.batch import BatchSpec
from contract.errors import ErrorCode, PermanentError
from contract.outcome import Outcome
from contract.storage import Store
from contract.stored import read_stored

RECORD_SECONDS = 8 * 24 * 3600
"""Age from which records are deleted: a day more than Redis keeps a cutout."""
PREFIX = f"{names.RESERVED}/cutouts"


class IdempotencyRow(BaseModel):
    """The idempotency key of the request that created a cutout."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    client: str = Field(description="name of the API key that sent the request")
    key: str = Field(description="SHA-256 of the idempotency key")
    digest: str = Field(description="SHA-256 of the request")


class CutoutRecord(BaseModel):
    """Everything that Redis knows of a cutout and that cannot be found out again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: BatchSpec
    idempotency: IdempotencyRow | None = None
    outcome: Outcome | None = Field(None, description="None: it has not ended")


class CutoutRecords:
    """Every method raises RetryableError or PermanentError of the storage."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, record: CutoutRecord) -> None:
        """Store a record among the open ones, or among those that ended."""
        body = record.model_dump_json(exclude_defaults=True).encode()
        key = _key("ended" if record.outcome else "open", record.spec.id)
        self._store.put(key, body, "application/json")

    def find(self, cutout_id: str) -> CutoutRecord | None:
        """Return the record of a cutout, or None. Raises PermanentError (`newer_release`)."""
        for state in ("ended", "open"):
            try:
                blob = self._store.get(_key(state, cutout_id))
            except PermanentError as error:
                if error.code is not ErrorCode.OBJECT_MISSING:
                    raise
            else:
                what = f"The record of {cutout_id}"
                return read_stored(CutoutRecord.model_validate_json, blob.data, what)
        return None

    def open_ids(self) -> Iterator[str]:
        """Yield the IDs of the cutouts with an open record, oldest first."""
        return self._ids("open")

    def ended_ids(self) -> Iterator[str]:
        """Yield the IDs of the cutouts with a record of their end, oldest first."""
        return self._ids("ended")

    def _ids(self, state: str) -> Iterator[str]:
        for item in self._store.list(f"{PREFIX}/{state}/"):
            cutout_id = item.key.rpartition("/")[2].removesuffix(".json")
            if names.is_batch_id(cutout_id):
                yield cutout_id

    def delete_open(self, cutout_id: str) -> None:
        self._store.delete(_key("open", cutout_id))

    def delete(self, cutout_id: str) -> None:
        """Delete what is stored of a cutout."""
        for state in ("open", "ended"):
            self._store.delete(_key(state, cutout_id))


def _key(state: str, cutout_id: str) -> str:
    return f"{PREFIX}/{state}/{cutout_id}.json"


def age_seconds(cutout_id: str, now: float) -> float:
    """Return how long ago a cutout was created, by its ID; infinity if it names no date.

    `now`: Unix seconds.
    """
    digits = "".join(re.findall("[0-9]+", cutout_id)[:2])
    try:
        created = datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return math.inf
    return now - created.timestamp()
