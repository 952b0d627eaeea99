"""A prefix of an S3 bucket as a store. The only module that imports boto3."""

import contextlib
from collections.abc import Iterator, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any, BinaryIO, TypedDict

import boto3
import botocore.exceptions
import urllib3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.handlers import add_expect_header

from contract.errors import ErrorCode, PermanentError
from contract.names import check_object_key, printable
from contract.settings import settings
from contract.storage.content_encoding import decoded
from contract.storage.list_objects import ROWS, parse_rows
from contract.storage.protocol import CHUNK_BYTES, Blob, ListPage, ObjectHead, ObjectInfo
from contract.storage.request_count import count_request, count_response
from contract.storage.s3_errors import (
    FAILED,
    UNSUPPORTED,
    changed,
    code_of,
    names_no_reason,
    translated,
)
from contract.storage.s3_headers import add_headers

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import HeadObjectOutputTypeDef

CLIENT = Config(
    connect_timeout=5,  # seconds, so a dead endpoint is noticed soon
    read_timeout=20,  # seconds between bytes: limits a stall, not the time of a large object
    # one quick second attempt; the queue retries what lasts longer, well within the time limit
    retries={"mode": "standard", "total_max_attempts": 2},
    # kept: a child needs one, `cutout serve` two per upload, a listing nine
    max_pool_connections=32,
    # checksums only if S3 requires them: S3-compatible servers differ in what they accept
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)

PART_BY_PART = TransferConfig(use_threads=False)
"""How files are uploaded: boto3's threads would hold ten parts of 8 MB in memory at a time."""


class ObjectAddress(TypedDict):
    """The two arguments of boto3 that name an object."""

    Bucket: str
    Key: str


def _raise_interruption(caught_exception: Exception | None, **_: object) -> None:
    """Raise a time limit or MemoryError that interrupted a request, instead of retrying.

    botocore wraps every exception during a request in HTTPClientError and takes it for a network
    error.
    """
    cause = caught_exception.__context__ if caught_exception else None
    wrapped = type(caught_exception) is botocore.exceptions.HTTPClientError
    if wrapped and cause and not isinstance(cause, (urllib3.exceptions.HTTPError, OSError)):
        raise cause


@cache
def client() -> "S3Client":
    """Return the client of this process: one, as each takes 13 MB.

    Nothing is cached if credentials are missing: NoCredentialsError is raised each time.
    """
    try:
        session = boto3.session.Session()
        s3 = session.client("s3", config=CLIENT)
        # `Expect: 100-continue` costs every PUT a round trip, to save the body of a refused one
        s3.meta.events.unregister("before-call.s3", add_expect_header)
        s3.meta.events.register_first("needs-retry.s3", _raise_interruption)
        s3.meta.events.register("before-send.s3", count_request)
        s3.meta.events.register("response-received.s3", count_response)
        add_headers(s3.meta.events, settings())
        s3.meta.events.register("before-parse.s3.ListObjectsV2", parse_rows)
    except ValueError:
        raise PermanentError(
            ErrorCode.INVALID_SETTING, "The AWS endpoint URL or region is invalid."
        ) from None
    if session.get_credentials() is None:
        raise botocore.exceptions.NoCredentialsError
    return s3


class S3Store:
    """See `contract.storage.protocol.Store`."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket = bucket
        folder = prefix.rstrip("/")
        self._prefix = f"{folder}/" if folder else ""
        self._conditional = True
        """False once the server has shown that its PUTs take no conditions"""
        with translated(f"s3://{bucket}"):
            self._client = client()

    @property
    def uri(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def _name(self, key: str) -> str:
        """Return an object's URI, printable, for error messages."""
        return printable(f"s3://{self._bucket}/{self._prefix}{key}")

    def _address(self, key: str) -> ObjectAddress:
        return {"Bucket": self._bucket, "Key": self._prefix + check_object_key(key)}

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        for page in self.pages(prefix):
            yield from page.items

    def pages(self, prefix: str = "", after: str = "", size: int = 1000) -> Iterator[ListPage]:
        request: dict[str, Any] = {
            "Bucket": self._bucket, "Prefix": self._prefix + prefix, "MaxKeys": size,
        }  # fmt: skip
        if after:
            request["StartAfter"] = self._prefix + after
        more, cut = True, len(self._prefix)
        while more:
            with translated(self._name(prefix)):
                answer: Any = self._client.list_objects_v2(**request)
                more, rows = answer["IsTruncated"], answer[ROWS]  # KeyError unless S3 answered
                if more:
                    request["ContinuationToken"] = answer["NextContinuationToken"]
            # consoles create objects named like folders
            items = [
                ObjectInfo(key[cut:], *rest) for key, *rest in rows if key[cut:] and key[-1] != "/"
            ]
            if rows:
                yield ListPage(items, rows[-1].key[cut:])

    def head(self, key: str) -> ObjectHead | None:
        address = self._address(key)
        try:
            with translated(self._name(key)):
                response = self._head(address)
                metadata = {
                    name.lower(): text for name, text in response.get("Metadata", {}).items()
                }
                return ObjectHead(
                    response["ContentLength"], response["ETag"].strip('"'),
                    response["LastModified"].timestamp(), metadata,
                )  # fmt: skip
        except PermanentError as error:
            if error.code is ErrorCode.OBJECT_MISSING:
                return None
            raise

    def _head(self, address: ObjectAddress) -> "HeadObjectOutputTypeDef":
        try:
            return self._client.head_object(**address)
        except botocore.exceptions.ClientError as error:
            if names_no_reason(error):
                self._ask_why(address)
            raise

    def _ask_why(self, address: ObjectAddress) -> None:
        """Raise the ClientError that says why an object's HEAD was refused, if a GET is too."""
        try:
            self._client.get_object(**address, Range="bytes=0-0")["Body"].close()
        except botocore.exceptions.ClientError as error:
            if code_of(error) != "InvalidRange":  # what an empty object answers
                raise

    def get(self, key: str, max_bytes: int | None = None) -> Blob:
        address = self._address(key)
        with translated(self._name(key)):
            response = self._client.get_object(**address)
            with contextlib.closing(response["Body"]) as body:
                size = response["ContentLength"]
                if max_bytes is not None and size > max_bytes:
                    raise PermanentError(
                        ErrorCode.TOO_MANY_BYTES,
                        f"{size:,} bytes are over the limit of {max_bytes:,}.",
                    )
                # botocore raises if the body ends early, so this is the whole object
                data, etag = body.read(), response["ETag"].strip('"')
        return Blob(decoded(data, response.get("ContentEncoding", ""), max_bytes), etag)

    def stream(self, key: str) -> Iterator[bytes]:
        address = self._address(key)
        with translated(self._name(key)):
            body = self._client.get_object(**address)["Body"]
        return self._chunks(key, body)

    def _chunks(self, key: str, body: "StreamingBody") -> Iterator[bytes]:
        with translated(self._name(key)), contextlib.closing(body):
            yield from body.iter_chunks(CHUNK_BYTES)

    def put(
        self,
        key: str,
        body: bytes | BinaryIO,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        address = self._address(key)
        headers: dict[str, Any] = {"ContentType": content_type, "Metadata": dict(metadata or {})}
        with translated(self._name(key)):
            # KeyError unless S3 answered: only S3 confirms a stored object by its ETag
            if isinstance(body, bytes):
                _ = self._client.put_object(Body=body, **address, **headers)["ETag"]
            else:
                self._client.upload_fileobj(
                    body, address["Bucket"], address["Key"], headers, Config=PART_BY_PART
                )
                _ = self._client.head_object(**address)["ETag"]

    def put_unless_changed(
        self, key: str, data: bytes, content_type: str, metadata: Mapping[str, str], etag: str
    ) -> None:
        if self._conditional and self._put_on_condition(key, data, content_type, metadata, etag):
            return
        if self._etag(key) != etag:
            raise changed(self._name(key))
        self.put(key, data, content_type, metadata)
        self._conditional = False

    def _put_on_condition(
        self, key: str, data: bytes, content_type: str, metadata: Mapping[str, str], etag: str
    ) -> bool:
        """Return False if the server refuses the condition, or takes a true one for false."""
        address = self._address(key)
        with translated(self._name(key)):
            try:
                put = partial(
                    self._client.put_object, Body=data, ContentType=content_type,
                    Metadata=dict(metadata), **address,
                )  # fmt: skip
                # KeyError unless S3 answered
                _ = (put(IfMatch=f'"{etag}"') if etag else put(IfNoneMatch="*"))["ETag"]
            except botocore.exceptions.ClientError as error:
                code = code_of(error)
                if code in UNSUPPORTED or (code in FAILED and self._etag(key) == etag):
                    return False
                if etag and code in {"NoSuchKey", "404"}:
                    raise changed(self._name(key)) from None
                raise
        return True

    def _etag(self, key: str) -> str:
        """Return an object's ETag, or "" if it does not exist."""
        head = self.head(key)
        return head.etag if head else ""

    def delete(self, key: str) -> None:
        address = self._address(key)
        with translated(self._name(key)):
            self._client.delete_object(**address)
