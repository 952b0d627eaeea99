"""Verifies that a message was signed by Amazon SNS for an allowed topic.

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
from producer.web.events.object_event import is_text

# Only a region may stand between `sns.` and `amazonaws.com`: `sns.s3.amazonaws.com` is a bucket,
# which anybody may own.
_HOST = r"https://sns\.[a-z]{2}(?:-[a-z]+)+-[0-9]{1,2}\.amazonaws\.com(?:\.cn)?"
_CERTIFICATE_URL = re.compile(_HOST + r"/[A-Za-z0-9._-]{1,200}\.pem")
_SUBSCRIBE_URL = re.compile(_HOST + r"/\?[!-~]{1,2000}")
_HASHES = {"1": SHA1, "2": SHA256}

_SIGNED_FIELDS = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": (
        "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type",
    ),
}  # fmt: skip
_SIGNED_FIELDS["UnsubscribeConfirmation"] = _SIGNED_FIELDS["SubscriptionConfirmation"]


def verify_sns(
    envelope: Mapping[str, Any],
    allowed_topics: Collection[str],
    fetch_certificate: Callable[[str], bytes],
) -> str | None:
    """Return the URL that confirms a subscription, if the message asks for that, else None.

    `allowed_topics`: ARNs. `fetch_certificate` is called with the URL of a PEM file at AWS, only
    for an allowed topic. Raises PermanentError (`signature_refused`), and what `fetch_certificate`
    raises.
    """
    message_type = _text(envelope, "Type")
    if message_type not in _SIGNED_FIELDS:
        raise _refused("The Type of the SNS message is unknown.")
    if _text(envelope, "TopicArn") not in allowed_topics:
        raise _refused("The topic of the SNS message is not listed in CUTOUT_SNS_TOPICS.")
    subscribe_url = _subscribe_url(envelope, message_type)
    certificate_url = _text(envelope, "SigningCertURL")
    if not _CERTIFICATE_URL.fullmatch(certificate_url):
        raise _refused("The SigningCertURL is not a URL of SNS.")
    hash_algorithm = _HASHES.get(_text(envelope, "SignatureVersion"))
    if hash_algorithm is None:
        raise _refused("The SignatureVersion is neither 1 nor 2.")
    signed = _signed_text(envelope, _SIGNED_FIELDS[message_type])
    try:
        signature = base64.b64decode(_text(envelope, "Signature"), validate=True)
        public_key = _public_key(fetch_certificate(certificate_url))
        public_key.verify(signature, signed, padding.PKCS1v15(), hash_algorithm())
    except (InvalidSignature, ValueError):
        raise _refused("The signature of the SNS message is wrong.") from None
    return subscribe_url if message_type == "SubscriptionConfirmation" else None


def _subscribe_url(envelope: Mapping[str, Any], message_type: str) -> str | None:
    if message_type == "Notification":
        return None
    url = _text(envelope, "SubscribeURL")
    if not _SUBSCRIBE_URL.fullmatch(url):
        raise _refused("The SubscribeURL is not a URL of SNS.")
    return url


def _signed_text(envelope: Mapping[str, Any], fields: tuple[str, ...]) -> bytes:
    """Return what AWS signs: name and value of each field, one line each. Subject is optional."""
    lines = (
        f"{name}\n{_text(envelope, name)}\n"
        for name in fields
        if name != "Subject" or envelope.get(name) is not None
    )
    return "".join(lines).encode()


def _public_key(pem: bytes) -> rsa.RSAPublicKey:
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise _refused("The file at the SigningCertURL is not a certificate.") from None
    now = dt.datetime.now(dt.UTC)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise _refused("The certificate of SNS is not valid today.")
    if not isinstance(key, rsa.RSAPublicKey):
        raise _refused("The certificate of SNS does not hold an RSA key.")
    return key


def _text(envelope: Mapping[str, Any], name: str) -> str:
    value = envelope.get(name)
    if not is_text(value):
        raise _refused(f"The field {name} of the SNS message is missing or not text.")
    return value


def _refused(message: str) -> PermanentError:
    return PermanentError(ErrorCode.SIGNATURE_REFUSED, message)
