"""S3 Inventory: a manifest.json that names the files with the rows, CSV or Parquet."""

from typing import Annotated, BinaryIO
from urllib.parse import unquote_plus

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError
from pydantic.dataclasses import dataclass

from contract.errors import ErrorCode, PermanentError
from contract.validation import first_error
from producer.batches.columns import plain_name
from producer.batches.sources.files import BadManifestError, decompressed, digest_of, downloaded
from producer.batches.sources.formats import read_rows
from producer.batches.sources.rows import Row, Rows, text_key
from producer.batches.storage_retry import StorageRetry

MAX_MANIFEST_BYTES = 4 << 20
"""Enough for 15,000 files, each of which has up to millions of rows."""
ARN = "arn:aws:s3:::"


def is_inventory(location: str) -> bool:
    """Return whether a manifest's location is that of an inventory's manifest.json."""
    return location.lower().endswith(".json")


@dataclass(slots=True)  # an eighth of the memory of a BaseModel
class _File:
    key: str = Field(min_length=1)
    checksum: str = Field("", validation_alias="MD5checksum")


class _Manifest(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    bucket: str = Field(alias="sourceBucket", min_length=1)
    destination: str = Field(alias="destinationBucket", min_length=1)
    file_format: str = Field(alias="fileFormat")
    file_schema: str = Field(alias="fileSchema")
    files: Annotated[list[_File], FailFast()]


class Inventory:
    """The rows of an inventory, of which those below a source count."""

    def __init__(self, manifest: _Manifest, prefix: str) -> None:
        """`prefix`: of the keys below the source, empty or with a `/` at its end."""
        self._manifest = manifest
        self._prefix = prefix
        self._is_csv = manifest.file_format.upper() == "CSV"

    def rows(self, storage_retry: StorageRetry) -> Rows:
        """Yield the rows of all files, numbered as one."""
        schema = [plain_name(column) for column in self._manifest.file_schema.split(",")]
        number = 0
        bucket = self._manifest.destination.removeprefix(ARN)
        for item in self._manifest.files:
            with downloaded(f"s3://{bucket}/{item.key}", storage_retry) as file:
                if item.checksum and digest_of(file, "md5") != item.checksum.lower():
                    raise BadManifestError(f"The checksum of {item.key} is wrong.")
                for _, row in self._file_rows(file, schema):
                    number += 1
                    yield number, row

    def _file_rows(self, file: BinaryIO, schema: list[str]) -> Rows:
        if not self._is_csv:
            yield from read_rows(file)
            return
        with decompressed(file) as plain:
            yield from read_rows(plain, schema)

    def key_of(self, row: Row) -> str | None:
        """Return the key below the source; None for keys elsewhere. Raises ValueError."""
        key = text_key(row)
        if self._is_csv:  # there, and there alone, keys are percent-encoded
            key = unquote_plus(key)
        return key.removeprefix(self._prefix) if key.startswith(self._prefix) else None


def read(file: BinaryIO, source: str) -> Inventory:
    """Return the inventory of a manifest.json.

    Raises BadManifestError, or PermanentError (`invalid_manifest`) if it is of another bucket.
    """
    data = file.read(MAX_MANIFEST_BYTES + 1)
    if len(data) > MAX_MANIFEST_BYTES:
        raise BadManifestError(
            f"The manifest.json of an S3 Inventory has at most {MAX_MANIFEST_BYTES:,} bytes."
        )
    try:
        manifest = _Manifest.model_validate_json(data)
    except ValidationError as error:
        sentence = first_error(error).sentence
        raise BadManifestError(f"Not the manifest.json of an S3 Inventory: {sentence}") from None
    if manifest.file_format.upper() not in {"CSV", "PARQUET"}:
        raise BadManifestError(f"The format {manifest.file_format!r} is not CSV or Parquet.")
    bucket, _, prefix = source.removeprefix("s3://").partition("/")
    if not source.startswith("s3://") or bucket != manifest.bucket:
        raise PermanentError(
            ErrorCode.INVALID_MANIFEST,
            f"The inventory is of s3://{manifest.bucket}, and the source is {source}.",
        )
    return Inventory(manifest, f"{prefix}/" if prefix else "")
