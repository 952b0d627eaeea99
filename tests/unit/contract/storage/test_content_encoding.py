import gzip

import pytest

from contract.errors import ErrorCode, PermanentError
from contract.storage.content_encoding import decoded

PHOTOGRAPH = b"\xff\xd8\xff photograph" * 100
ZIPPED = gzip.compress(PHOTOGRAPH)


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (ZIPPED, "gzip"),
        (ZIPPED, "aws-chunked, GZIP"),
        (gzip.compress(ZIPPED), "gzip,gzip"),
        (gzip.compress(PHOTOGRAPH[:50]) + gzip.compress(PHOTOGRAPH[50:]), "gzip"),
        (ZIPPED + b"\0" * 10, "x-gzip"),
        (PHOTOGRAPH, "gzip"),  # the header is wrong
        (PHOTOGRAPH, ""),
        (PHOTOGRAPH, "identity"),
        (PHOTOGRAPH, "aws-chunked"),
    ],
    # gzip's header holds the time, so the data would give each process other names
    ids=[
        "gzip",
        "among others",
        "twice",
        "two members",
        "padding",
        "wrong header",
        "no header",
        "identity",
        "chunks",
    ],
)
def test_content_is_decoded(data: bytes, encoding: str):
    assert decoded(data, encoding, len(PHOTOGRAPH) + 100) == PHOTOGRAPH


def test_content_without_the_header_is_left_as_it_is():
    assert decoded(ZIPPED, "") == ZIPPED


@pytest.mark.parametrize(
    ("data", "encoding", "code"),
    [
        (gzip.compress(bytes(1 << 20)), "gzip", ErrorCode.TOO_MANY_BYTES),
        (gzip.compress(bytes(3000)) * 2, "gzip", ErrorCode.TOO_MANY_BYTES),
        (ZIPPED[:-9], "gzip", ErrorCode.TRUNCATED_IMAGE),
        (ZIPPED[:-8] + bytes(8), "gzip", ErrorCode.CORRUPT_IMAGE),
        (PHOTOGRAPH, "br", ErrorCode.UNSUPPORTED_FORMAT),
    ],
    ids=["bomb", "bomb of two", "truncated", "damaged", "brotli"],
)
def test_what_cannot_be_decoded_is_named(data: bytes, encoding: str, code: ErrorCode):
    with pytest.raises(PermanentError) as caught:
        decoded(data, encoding, 5000)
    assert caught.value.code is code


def test_a_limit_of_exactly_the_content_holds_it():
    assert decoded(ZIPPED, "gzip", len(PHOTOGRAPH)) == PHOTOGRAPH
