"""redis-py's errors as ours: a sentence for each cause that a user can do something about."""

import ssl

import redis
from redis.exceptions import (
    ClusterCrossSlotError,
    ClusterDownError,
    MovedError,
    NoPermissionError,
)
from redis.sentinel import MasterNotFoundError

from contract.errors import CutoutError, ErrorCode, PermanentError, RetryableError
from contract.ledger.probe import no_room

CLUSTER_ERRORS = (MovedError, ClusterCrossSlotError, ClusterDownError)
WRONG_HOST_CODES = (62, 64)
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH of OpenSSL."""
EXPIRED_CODE = 10
"""X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL."""
NO_ROOM = "max number of clients reached"
"""Redis's reply to a connection beyond its maxclients, if redis-py reads it; see `probe.py`."""


def translate(error: Exception) -> CutoutError:
    """Return our error for one of redis-py's. Its text may hold the URL, so it is dropped.

    What may pass by itself is retryable: even a certificate, which may be replaced at any time.
    """
    cause = (error.__cause__ if isinstance(error, MasterNotFoundError) else error) or error
    if tls_error := _tls_error(cause):
        return RetryableError(ErrorCode.REDIS_TLS, _tls_sentence(tls_error))
    if isinstance(cause, (redis.AuthenticationError, NoPermissionError)):
        who = "Redis" if cause is error else "A Sentinel"
        return PermanentError(ErrorCode.REDIS_UNAVAILABLE, f"{who} refused the credentials.")
    if isinstance(error, CLUSTER_ERRORS):
        return PermanentError(ErrorCode.REDIS_CLUSTER, "The server is a node of a Redis Cluster.")
    if NO_ROOM in str(error):
        return no_room()
    return RetryableError(ErrorCode.REDIS_UNAVAILABLE, _unavailable_sentence(error))


def _tls_error(error: BaseException) -> ssl.SSLError | None:
    """Return the TLS error that a failed connection comes from, if any.

    An error's context may also be one that was being handled when Redis was called.
    """
    context = error.__context__
    if isinstance(context, ssl.SSLError) and str(context.args[-1]) in str(error):
        return context
    return None


def _tls_sentence(error: ssl.SSLError) -> str:
    if not isinstance(error, ssl.SSLCertVerificationError):
        return f"The TLS handshake with Redis failed ({error.reason or type(error).__name__})."
    if error.verify_code in WRONG_HOST_CODES:
        return "The certificate of Redis is for another host than CUTOUT_REDIS_URL names."
    if error.verify_code == EXPIRED_CODE:
        return "The certificate of Redis has expired."
    return f"The certificate of Redis is not trusted ({error.verify_message})."


def _unavailable_sentence(error: Exception) -> str:
    if not isinstance(error, MasterNotFoundError):
        return f"Redis did not answer ({type(error).__name__})."
    if error.__cause__ is not None:
        return f"No Sentinel answered ({type(error.__cause__).__name__})."
    return "No Sentinel knows a master of the name in CUTOUT_REDIS_URL that is up."
