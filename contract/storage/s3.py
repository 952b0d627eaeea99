"""The only file that imports boto3: a bucket prefix as a store."""

import contextlib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, BinaryIO

import boto3
import botocore.exceptions
import urllib3
from botocore.config import Config
from botocore.handlers import add_expect_header

from contract.errors import ErrorCode, PermanentError, RetryableError
from contract.names import check_key, printable
from contract.storage.protocol import PIECE, Blob, ObjectHead, ObjectInfo

CLIENT = Config(
    connect_timeout=5,  # a dead endpoint shows at once
    read_timeout=20,  # between bytes, so it bounds a stall and not a large object
    # one quick second try; what lasts longer is the queue's to retry, well below the time limit
    retries={"mode": "standard", "total_max_attempts": 2},
    max_pool_connections=4,  # a child does one thing at a time; multipart reports use the rest
    # checksums only where S3 requires them: S3-compatible servers differ in what they accept
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)

MISSING = {"404", "NoSuchKey", "NoSuchBucket", "NotFound"}
DENIED = {
    "401", "403", "AccessDenied", "AllAccessDisabled", "InvalidAccessKeyId",
    "SignatureDoesNotMatch", "Forbidden",
}  # fmt: skip
REFUSED_NAME = {"KeyTooLongError", "InvalidObjectName", "XMinioInvalidObjectName"}


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    """Turn boto3's errors into ours. Their texts may quote URLs, so only the code is kept."""
    try:
        yield
    except botocore.exceptions.ClientError as error:
        vendor = str(error.response.get("Error", {}).get("Code", "unknown"))
        if vendor in MISSING:
            raise PermanentError(ErrorCode.OBJECT_MISSING, f"{what} does not exist.") from None
        if vendor in DENIED:
            raise PermanentError(
                ErrorCode.ACCESS_DENIED, f"Access to {what} was refused ({vendor})."
            ) from None
        if vendor in REFUSED_NAME:
            raise PermanentError(
                ErrorCode.UNSAFE_KEY, f"The storage refuses the name of {what}."
            ) from None
        raise RetryableError(
            ErrorCode.STORAGE_UNAVAILABLE, f"The storage answered {vendor} for {what}."
        ) from None
    except (
        botocore.exceptions.NoCredentialsError,
        botocore.exceptions.PartialCredentialsError,
        botocore.exceptions.ProfileNotFound,
    ):
        # not permanent: a machine's role may be out of reach for a moment
        raise RetryableError(
            ErrorCode.ACCESS_DENIED,
            f"There are no AWS credentials for {what}: no profile, variable or role.",
        ) from None
    except botocore.exceptions.ParamValidationError:
        raise PermanentError(
            ErrorCode.UNSAFE_KEY, f"The storage refuses the name of {what}."
        ) from None
    except (botocore.exceptions.BotoCoreError, OSError, KeyError) as error:
        # KeyError: an answer without what every S3 answer holds, so something else answers there
        raise RetryableError(
            ErrorCode.STORAGE_UNAVAILABLE, f"{type(error).__name__} at {what}."
        ) from None


def _let_through(caught_exception: Exception | None, **_: object) -> None:
    """Raise what struck amid a request and is not of the network: a time limit, a lack of memory.

    botocore takes it for the network's, and would try again where the worker said to stop.
    """
    struck = caught_exception.__context__ if caught_exception else None
    foreign = type(caught_exception) is botocore.exceptions.HTTPClientError
    if foreign and struck and not isinstance(struck, (urllib3.exceptions.HTTPError, OSError)):
        raise struck


@cache
def client() -> Any:
    """Return the process's one client: each costs 13 MB. Not kept where credentials are missing."""
    try:
        session = boto3.session.Session()
        made = session.client("s3", config=CLIENT)
        # `Expect: 100-continue` costs each PUT a round trip, to spare the body of a refused one
        made.meta.events.unregister("before-call.s3", add_expect_header)
        made.meta.events.register_first("needs-retry.s3", _let_through)
    except ValueError:
        raise PermanentError(
            ErrorCode.INVALID_SETTING, "AWS's endpoint URL or region is none."
        ) from None
    if session.get_credentials() is None:
        raise botocore.exceptions.NoCredentialsError
    return made


class S3Store:
    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        with _translated(f"s3://{bucket}"):
            self._client = client()

    @property
    def uri(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def _name(self, key: str) -> str:
        return printable(f"s3://{self._bucket}/{self._prefix}{key}")

    def _address(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + check_key(key)}

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix + prefix
        )
        iterator = iter(pages)
        while True:
            with _translated(self._name(prefix)):
                page = next(iterator, None)
                if page is None:
                    return
                _ = page["IsTruncated"]  # what every listing says, and no stranger's answer does
            for row in page.get("Contents", []):
                key = row["Key"][len(self._prefix) :]
                if key and not key.endswith("/"):  # the placeholder objects consoles make
                    yield ObjectInfo(key, row["Size"], row["ETag"].strip('"'))

    def head(self, key: str) -> ObjectHead | None:
        address = self._address(key)
        try:
            with _translated(self._name(key)):
                answer = self._client.head_object(**address)
                metadata = {name.lower(): text for name, text in answer.get("Metadata", {}).items()}
                return ObjectHead(answer["ContentLength"], answer["ETag"].strip('"'), metadata)
        except PermanentError as error:
            if error.code is ErrorCode.OBJECT_MISSING:
                return None
            raise

    def get(self, key: str, max_bytes: int | None = None) -> Blob:
        address = self._address(key)
        with _translated(self._name(key)):
            answer = self._client.get_object(**address)
            with contextlib.closing(answer["Body"]) as body:
                size = answer["ContentLength"]
                if max_bytes is not None and size > max_bytes:
                    raise PermanentError(
                        ErrorCode.TOO_MANY_BYTES,
                        f"{size:,} bytes are over the limit of {max_bytes:,}.",
                    )
                # botocore raises where the body ends early, so this is all of it or an error
                return Blob(body.read(), answer["ETag"].strip('"'))

    def stream(self, key: str) -> Iterator[bytes]:
        address = self._address(key)
        with _translated(self._name(key)):
            body = self._client.get_object(**address)["Body"]
        return self._pieces(key, body)

    def _pieces(self, key: str, body: Any) -> Iterator[bytes]:
        with _translated(self._name(key)), contextlib.closing(body):
            yield from body.iter_chunks(PIECE)

    def put(
        self,
        key: str,
        body: bytes | BinaryIO,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        address = self._address(key)
        extra = {"ContentType": content_type, "Metadata": dict(metadata or {})}
        with _translated(self._name(key)):
            # no ETag: whoever answered did not store it
            if isinstance(body, bytes):
                _ = self._client.put_object(Body=body, **address, **extra)["ETag"]
            else:
                self._client.upload_fileobj(body, address["Bucket"], address["Key"], extra)
                _ = self._client.head_object(**address)["ETag"]

    def delete(self, key: str) -> None:
        address = self._address(key)
        with _translated(self._name(key)):
            self._client.delete_object(**address)
