"""Signatures of callbacks and of signed requests: Standard Webhooks 1.0.0, symmetric (`v1`).

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence

from contract.errors import ErrorCode, PermanentError

TOLERANCE_SECONDS = 300
MOST_SIGNATURES = 20
"""A list that is longer makes us hash for nothing."""

# A full stop separates what is signed: within an id it would let one message pass for another.
_ID = re.compile(r"[!-\-/-~]{1,256}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


def sign(message_id: str, timestamp: int, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """Return the headers of a message: its id, the moment of this attempt, a signature a secret.

    Without secrets it has no signature. Raises ValueError where the id could not be verified, and
    PermanentError (`invalid_setting`).
    """
    if not _ID.fullmatch(message_id):
        raise ValueError("an id of a message holds no spaces and no full stops")
    headers = {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
    if secrets:
        signatures = (_signature(message_id, str(timestamp), body, secret) for secret in secrets)
        headers["webhook-signature"] = " ".join(signatures)
    return headers


def verify(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float) -> str:
    """Return a message's id, by which a repeated one is known, or raise `signature_refused`.

    `now` in unix seconds; five minutes of difference are tolerated either way. `body` is what was
    received, to the byte.
    """
    given = {name.lower(): value for name, value in headers.items()}
    message_id = given.get("webhook-id", "")
    timestamp = given.get("webhook-timestamp", "")
    signatures = given.get("webhook-signature", "").split()
    if not (_ID.fullmatch(message_id) and _TIMESTAMP.fullmatch(timestamp) and signatures):
        raise _refused("The request carries no valid webhook-id, -timestamp and -signature.")
    # the signature first: a stranger learns nothing of our clock
    matches = [
        hmac.compare_digest(_signature(message_id, timestamp, body, secret).encode(), text)
        for secret in secrets
        for text in (
            signature.encode("ascii", "replace") for signature in signatures[:MOST_SIGNATURES]
        )
    ]
    if not any(matches):
        raise _refused("No signature of the request is made with a secret of ours.")
    if abs(now - int(timestamp)) > TOLERANCE_SECONDS:
        raise _refused(f"The request was signed more than {TOLERANCE_SECONDS} s from now.")
    return message_id


def _signature(message_id: str, timestamp: str, body: bytes, secret: str) -> str:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        raise PermanentError(
            ErrorCode.INVALID_SETTING, "A webhook secret is not whsec_ and base64."
        ) from None
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def _refused(why: str) -> PermanentError:
    return PermanentError(ErrorCode.SIGNATURE_REFUSED, why)
