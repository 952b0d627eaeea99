"""Whether an envelope of SNS was made by AWS, for a topic of ours.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

import base64
import datetime as dt
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from contract.errors import ErrorCode, PermanentError
from producer.web.events.notification import is_text

# A region, and nothing else, between `sns.` and `amazonaws.com`: `sns.s3.amazonaws.com` is a
# bucket that anybody may have made.
_HOST = r"https://sns\.[a-z]{2}(?:-[a-z]+)+-[0-9]{1,2}\.amazonaws\.com(?:\.cn)?"
_CERTIFICATE = re.compile(_HOST + r"/[A-Za-z0-9._-]{1,200}\.pem")
_SUBSCRIBE = re.compile(_HOST + r"/\?[!-~]{1,2000}")
_HASHES = {"1": SHA1, "2": SHA256}

_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": (
        "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type",
    ),
}  # fmt: skip
_SIGNED["UnsubscribeConfirmation"] = _SIGNED["SubscriptionConfirmation"]


def verify_sns(
    envelope: Mapping[str, Any],
    topics_allowed: Collection[str],
    fetch_certificate: Callable[[str], bytes],
) -> str | None:
    """Return the URL that confirms a subscription, where the envelope asks for that, else None.

    Raises PermanentError (`signature_refused`), and what `fetch_certificate` raises. It gets the
    URL of a PEM file at AWS, and is called only for a topic of `topics_allowed`.
    """
    kind = _text(envelope, "Type")
    if kind not in _SIGNED:
        raise _refused("SNS sends no such Type.")
    if _text(envelope, "TopicArn") not in topics_allowed:
        raise _refused("The topic is none of ours.")
    if kind != "Notification" and not _SUBSCRIBE.fullmatch(_text(envelope, "SubscribeURL")):
        raise _refused("The SubscribeURL does not lead to SNS.")
    place = _text(envelope, "SigningCertURL")
    if not _CERTIFICATE.fullmatch(place):
        raise _refused("The SigningCertURL does not lead to SNS.")
    made_by = _HASHES.get(_text(envelope, "SignatureVersion"))
    if made_by is None:
        raise _refused("The SignatureVersion is neither 1 nor 2.")
    signed = _canonical(envelope, _SIGNED[kind])
    try:
        signature = base64.b64decode(_text(envelope, "Signature"), validate=True)
        key = _key(fetch_certificate(place))
        key.verify(signature, signed, padding.PKCS1v15(), made_by())
    except (InvalidSignature, ValueError):
        raise _refused("The signature is not of this message.") from None
    return _text(envelope, "SubscribeURL") if kind == "SubscriptionConfirmation" else None


def _canonical(envelope: Mapping[str, Any], names: tuple[str, ...]) -> bytes:
    """Return name and value in turn, a line each, as AWS signs them. A Subject may be missing."""
    rows = (
        f"{name}\n{_text(envelope, name)}\n"
        for name in names
        if name != "Subject" or envelope.get(name) is not None
    )
    return "".join(rows).encode()


def _key(pem: bytes) -> rsa.RSAPublicKey:
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise _refused("What SNS gave for its certificate is none.") from None
    now = dt.datetime.now(dt.UTC)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise _refused("The certificate of SNS is not valid today.")
    if not isinstance(key, rsa.RSAPublicKey):
        raise _refused("The certificate of SNS holds no RSA key.")
    return key


def _text(envelope: Mapping[str, Any], name: str) -> str:
    value = envelope.get(name)
    if not is_text(value):
        raise _refused(f"The envelope's {name} is no text.")
    return value


def _refused(why: str) -> PermanentError:
    return PermanentError(ErrorCode.SIGNATURE_REFUSED, why)
