"""Verifies a callback of cutout. Copy this file; it needs nothing else. Standard Webhooks, `v1`."""

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping

TOLERANCE_SECONDS = 300
"""Older or newer callbacks are refused, so that a recorded one cannot be sent again later."""
MAX_TIMESTAMP_DIGITS = 20


def verified(headers: Mapping[str, str], body: bytes, secret: str) -> bool:
    """Return whether a callback was signed with `secret` (`whsec_...`) within the tolerance.

    `headers`: by lower-case name. `body`: the bytes as received, not parsed and serialised again.
    """
    webhook_id, timestamp, signatures = (
        headers.get(f"webhook-{part}", "") for part in ("id", "timestamp", "signature")
    )
    if not timestamp.isdecimal() or len(timestamp) > MAX_TIMESTAMP_DIGITS:
        return False
    if abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    received = [part[3:].encode() for part in signatures.split() if part.startswith("v1,")]
    return any(hmac.compare_digest(expected, signature) for signature in received)
