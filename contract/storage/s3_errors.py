"""S3's errors as ours: what each code and HTTP status says about another try.

Only an error that may pass by itself is a RetryableError. The codes are listed at
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html; those that other servers have
beside them are judged by the status.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from botocore import exceptions
from botocore.exceptions import ClientError

from contract.errors import CutoutError, ErrorCode, PermanentError, RetryableError

FAILED = frozenset({"PreconditionFailed", "412"})
"""S3's codes if another writer was faster."""
CHANGED = FAILED | {"ConditionalRequestConflict", "409"}
"""The same, or if another writer is at it."""
UNSUPPORTED = frozenset({"NotImplemented", "501", "InvalidArgument", "InvalidRequest", "400"})
"""Codes of S3-compatible servers that refuse the conditions of a PUT."""


class Meaning(NamedTuple):
    """What an answer means for the object called `{object}`. `{code}`: S3's code."""

    code: ErrorCode
    message: str
    retryable: bool = False

    def error(self, name: str, code: str) -> CutoutError:
        kind = RetryableError if self.retryable else PermanentError
        return kind(self.code, self.message.format(object=name, code=code))


MISSING = Meaning(ErrorCode.OBJECT_MISSING, "{object} does not exist.")
DENIED = Meaning(ErrorCode.ACCESS_DENIED, "The storage refused access to {object} ({code}).")
CREDENTIALS = Meaning(
    ErrorCode.INVALID_CREDENTIALS, "The storage does not accept the credentials ({code}): {object}."
)
EXPIRED = CREDENTIALS._replace(retryable=True)  # the next ones may be on their way
CLOCK = Meaning(
    ErrorCode.INVALID_CREDENTIALS,
    "The storage refused {object} because this machine's clock is wrong ({code}).",
)
REGION = Meaning(ErrorCode.WRONG_REGION, "{object} is in another region or endpoint ({code}).")
ARCHIVED = Meaning(ErrorCode.OBJECT_ARCHIVED, "{object} is in an archive ({code}).")
KEY = Meaning(
    ErrorCode.ENCRYPTION_KEY_REFUSED, "The key that encrypts {object} cannot be used ({code})."
)
NAME = Meaning(ErrorCode.UNSAFE_KEY, "The storage refused the name of {object}.")
FULL = Meaning(ErrorCode.STORAGE_FULL, "No space left for {object} ({code}).", retryable=True)
REFUSED = Meaning(ErrorCode.STORAGE_REFUSED, "The storage answered {code} for {object}.")
TRANSIENT = Meaning(
    ErrorCode.STORAGE_UNAVAILABLE, "The storage answered {code} for {object}.", retryable=True
)

CODES: dict[Meaning, tuple[str, ...]] = {
    MISSING: ("NoSuchKey", "NoSuchBucket", "NotFound", "NoSuchVersion"),
    DENIED: ("AccessDenied", "AllAccessDisabled", "Forbidden"),
    CREDENTIALS: (
        "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "InvalidSecurity",
        "InvalidClientTokenId", "UnrecognizedClientException", "IncompleteSignature", "AuthFailure",
    ),
    EXPIRED: ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"),
    CLOCK: ("RequestTimeTooSkewed", "RequestExpired"),
    REGION: (
        "PermanentRedirect", "TemporaryRedirect", "Redirect", "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
    ),
    ARCHIVED: ("InvalidObjectState",),
    NAME: ("KeyTooLongError", "InvalidObjectName", "XMinioInvalidObjectName"),
    FULL: ("QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded"),
    # their status is 400, 403 or 409, and they pass all the same
    TRANSIENT: (
        "RequestTimeout", "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch",
        "OperationAborted", "SlowDown", "RequestLimitExceeded", "TooManyRequests",
        "TooManyRequestsException", "BandwidthLimitExceeded", "ServerBusy", "InternalError",
        "ServiceUnavailable",
    ),
}  # fmt: skip
MEANINGS = {code: meaning for meaning, codes in CODES.items() for code in codes}
STATUSES = {
    401: DENIED, 403: DENIED, 404: MISSING, 408: TRANSIENT, 409: TRANSIENT, 425: TRANSIENT,
    429: TRANSIENT, 501: REFUSED, 505: REFUSED, 507: FULL,
}  # fmt: skip
CLASSES = {3: REGION, 4: REFUSED}
"""First digit of other statuses -> meaning. 5xx, and 200 with an error in its body, may pass."""


def code_of(error: ClientError) -> str:
    """Return S3's code; for the answer to a HEAD, which has no body, its HTTP status."""
    return str(error.response.get("Error", {}).get("Code", "unknown"))


def names_no_reason(error: ClientError) -> bool:
    """Return whether an error has a status alone, of which there are several reasons."""
    return code_of(error) in {"400", "401", "403"}


def changed(name: str) -> RetryableError:
    return RetryableError(ErrorCode.OBJECT_CHANGED, f"{name} was written by another process.")


def client_error(error: ClientError, name: str) -> CutoutError:
    """Return our error for an answer of S3's about the object called `name`."""
    code = code_of(error)
    if code in CHANGED:
        return changed(name)
    metadata = error.response.get("ResponseMetadata", {})
    status = int(code) if code.isdigit() else int(metadata.get("HTTPStatusCode", 500))
    return _meaning(code, status).error(name, code)


def _meaning(code: str, status: int) -> Meaning:
    if code in MEANINGS:
        return MEANINGS[code]
    if "Throttl" in code:
        return TRANSIENT
    if code.startswith("KMS") and status < 500:  # noqa: PLR2004
        return KEY
    return STATUSES.get(status) or CLASSES.get(status // 100, TRANSIENT)


def _sdk_error(error: Exception, name: str) -> CutoutError:
    """Return our error for one of botocore's own. Their texts may quote URLs, so none is kept."""
    match error:
        case (
            exceptions.NoCredentialsError()
            | exceptions.PartialCredentialsError()
            | exceptions.ProfileNotFound()
        ):
            # retryable: the service that issues a machine's credentials may be down for a moment
            return RetryableError(
                ErrorCode.INVALID_CREDENTIALS,
                f"No AWS credentials found for {name}: no profile, variable or role.",
            )
        case (
            exceptions.CredentialRetrievalError()
            | exceptions.SSOError()
            | exceptions.TokenRetrievalError()
        ):
            return RetryableError(
                ErrorCode.INVALID_CREDENTIALS,
                f"The AWS credentials for {name} could not be renewed ({type(error).__name__}).",
            )
        case exceptions.ParamValidationError():
            return NAME.error(name, "")
        case exceptions.SSLError():
            return RetryableError(
                ErrorCode.STORAGE_UNAVAILABLE,
                f"TLS failed at {name}. If a private CA signed the storage's certificate, name its"
                " file in AWS_CA_BUNDLE.",
            )
    return RetryableError(ErrorCode.STORAGE_UNAVAILABLE, f"{type(error).__name__} at {name}.")


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Turn boto3's errors at the object called `name` into ours."""
    try:
        yield
    except ClientError as error:
        raise client_error(error, name) from None
    except (exceptions.BotoCoreError, OSError, KeyError) as error:
        # KeyError: the response lacks a field that every S3 response has, so its sender is not S3
        raise _sdk_error(error, name) from None
