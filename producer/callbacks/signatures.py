"""Signs callbacks and verifies signed requests: Standard Webhooks 1.0.0, symmetric (`v1`).

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence

from contract.errors import ErrorCode, PermanentError

TOLERANCE_SECONDS = 300
"""Largest difference accepted between a request's timestamp and the clock here."""
MAX_SIGNATURES = 20
"""Signatures of one request that are compared; any others are ignored."""

# The signed text is ID.TIMESTAMP.BODY: a full stop in the ID would make it ambiguous.
_ID = re.compile(r"[!-\-/-~]{1,256}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


def sign(message_id: str, timestamp: int, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """Return the headers of a message: its ID, the time of this attempt, one signature per secret.

    `timestamp`: Unix seconds. Without secrets there is no signature. Raises ValueError if the ID
    holds a space or a full stop, and PermanentError (`invalid_setting`) for a malformed secret.
    """
    if not _ID.fullmatch(message_id):
        raise ValueError("a message ID must not hold spaces or full stops")
    headers = {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
    if secrets:
        signatures = (_signature(message_id, str(timestamp), body, secret) for secret in secrets)
        headers["webhook-signature"] = " ".join(signatures)
    return headers


def verify(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float) -> str:
    """Return the message's ID, which is the same if the message is repeated.

    `body`: the bytes as received. `now`: Unix seconds. Raises PermanentError
    (`signature_refused`) if no secret made a signature of it, or the timestamp is more than
    TOLERANCE_SECONDS from `now`.
    """
    given = {name.lower(): value for name, value in headers.items()}
    message_id = given.get("webhook-id", "")
    timestamp = given.get("webhook-timestamp", "")
    signatures = given.get("webhook-signature", "").split()
    if not (_ID.fullmatch(message_id) and _TIMESTAMP.fullmatch(timestamp) and signatures):
        raise _refused(
            "The headers webhook-id, webhook-timestamp and webhook-signature are not all valid."
        )
    # before the timestamp: without a secret, nothing is learned about the clock here
    matches = [
        hmac.compare_digest(_signature(message_id, timestamp, body, secret).encode(), text)
        for secret in secrets
        for text in (
            signature.encode("ascii", "replace") for signature in signatures[:MAX_SIGNATURES]
        )
    ]
    if not any(matches):
        raise _refused("No signature of the request matches a secret in CUTOUT_WEBHOOK_SECRET.")
    if abs(now - int(timestamp)) > TOLERANCE_SECONDS:
        raise _refused(f"The request's timestamp is more than {TOLERANCE_SECONDS} s from now.")
    return message_id


def _signature(message_id: str, timestamp: str, body: bytes, secret: str) -> str:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        raise PermanentError(
            ErrorCode.INVALID_SETTING, "A webhook secret must be whsec_ and base64."
        ) from None
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def _refused(message: str) -> PermanentError:
    return PermanentError(ErrorCode.SIGNATURE_REFUSED, message)
