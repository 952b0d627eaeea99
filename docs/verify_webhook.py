"""Verify a callback of cutout's: copy this, nothing else is needed. Standard Webhooks, `v1`."""

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping


def verified(headers: Mapping[str, str], body: bytes, secret: str) -> bool:
    """`headers` by lower-case name; `body` as received, not parsed and written again."""
    sent = headers["webhook-timestamp"]
    if abs(time.time() - int(sent)) > 300:  # noqa: PLR2004 - seconds: a replay
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{sent}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    given = [s[3:].encode() for s in headers["webhook-signature"].split() if s.startswith("v1,")]
    return any(hmac.compare_digest(expected, signature) for signature in given)
