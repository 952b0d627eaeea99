"""Headers that settings add to requests to S3: how outputs are encrypted, and who pays."""

from typing import Any

from botocore.hooks import BaseEventHooks

from contract.settings import Settings

WRITES = ("PutObject", "CreateMultipartUpload")
"""Operations that create an object."""


def encryption_headers(config: Settings) -> dict[str, str]:
    """Return the headers of requests that create an object."""
    headers = {
        "x-amz-server-side-encryption": config.s3_encryption,
        "x-amz-server-side-encryption-aws-kms-key-id": config.s3_kms_key,
    }
    return {name: value for name, value in headers.items() if value}


def payer_headers(config: Settings) -> dict[str, str]:
    """Return the headers of all requests."""
    return {"x-amz-request-payer": "requester"} if config.s3_requester_pays else {}


def add_headers(events: BaseEventHooks, config: Settings) -> None:
    """Have a client's requests carry the headers, which are signed with the others."""
    events.register("before-call.s3", _adding(payer_headers(config)))
    for operation in WRITES:
        events.register(f"before-call.s3.{operation}", _adding(encryption_headers(config)))


def _adding(headers: dict[str, str]) -> Any:
    def add(params: dict[str, Any], **_: object) -> None:
        params["headers"].update(headers)

    return add
