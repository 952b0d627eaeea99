"""Verify a callback of cutout's: copy this, nothing else is needed. Standard Webhooks, `v1`."""

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping


def verified(headers: Mapping[str, str], body: bytes, secret: str) -> bool:
    """`headers` by lower-case name; `body` as received, not parsed and written again."""
    name, sent, signatures = (
        headers.get(f"webhook-{part}", "") for part in ("id", "timestamp", "signature")
    )
    moment = int(sent) if sent.isdecimal() and len(sent) < 20 else 0  # noqa: PLR2004
    if abs(time.time() - moment) > 300:  # noqa: PLR2004 - seconds: a replay
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{name}.{sent}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    given = [one[3:].encode() for one in signatures.split() if one.startswith("v1,")]
    return any(hmac.compare_digest(expected, one) for one in given)
