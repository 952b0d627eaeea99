"""Answers to ListObjectsV2 are read alike, whichever server wrote them."""

from xml.sax.saxutils import escape

import pytest

from contract.storage import ObjectInfo
from contract.storage.list_objects import ROWS, parse_rows

MODIFIED = "2026-01-01T00:00:00.000Z"
ROW = ObjectInfo("a b/ü&<é>+.jpg", 12, "0123-4", 1_767_225_600.0)
FIELDS = {
    "Key": escape(ROW.key), "LastModified": MODIFIED, "ETag": "&quot;0123-4&quot;", "Size": "12",
}  # fmt: skip


def page(*contents: str, encoded: bool = False, namespace: str = "") -> bytes:
    encoding = "<EncodingType>url</EncodingType>" if encoded else ""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult{namespace}><Name>b</Name>'
        f"{encoding}<IsTruncated>false</IsTruncated>{''.join(contents)}</ListBucketResult>"
    ).encode()


def contents(*names: str, space: str = "", more: str = "", **changed: str) -> str:
    fields = FIELDS | changed
    inner = space.join(f"<{name}>{fields[name]}</{name}>" for name in names)
    return f"<Contents>{space}{inner}{more}{space}</Contents>"


def parse(body: bytes, status: int = 200) -> tuple[list[ObjectInfo] | None, bytes]:
    response, parsed = {"status_code": status, "body": body}, {}
    parse_rows(response, parsed)
    return parsed.get(ROWS), response["body"]


S3 = ("Key", "LastModified", "ETag", "Size")
XMLNS = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
VARIANTS = [
    contents(*S3),
    contents(*S3, space="\n  "),
    contents(*S3, more="<StorageClass>STANDARD</StorageClass>"),
    contents("Key", "LastModified", "ETag", "ChecksumAlgorithm", "ChecksumType", "Size",
             ChecksumAlgorithm="CRC64NVME", ChecksumType="FULL_OBJECT"),
    contents("Size", "ETag", "Key", "LastModified"),
    contents(*S3, more="<Owner><ID>1</ID><DisplayName>x</DisplayName></Owner>"),
    contents(*S3, ETag='"0123-4"'),
    contents(*S3, ETag="0123-4"),
]  # fmt: skip


@pytest.mark.parametrize("namespace", ["", XMLNS])
@pytest.mark.parametrize("variant", VARIANTS, ids=range(len(VARIANTS)))
def test_an_object_is_read_whatever_its_elements(variant: str, namespace: str) -> None:
    rows, rest = parse(page(variant, variant, VARIANTS[0], namespace=namespace))
    assert rows == [ROW] * 3
    assert b"Contents" not in rest
    assert b"IsTruncated" in rest


@pytest.mark.parametrize("key", ["a%20b.jpg", "a+b.jpg", "a%0Ab.jpg", "a%2Bb.jpg", "%C3%BC", "ab"])
def test_encoded_keys_are_decoded(key: str) -> None:
    decoded = {"a%20b.jpg": "a b.jpg", "a+b.jpg": "a b.jpg", "a%0Ab.jpg": "a\nb.jpg",
               "a%2Bb.jpg": "a+b.jpg", "%C3%BC": "ü", "ab": "ab"}  # fmt: skip
    body = page(contents(*S3, Key=key), contents(*S3, Key="c%2Cd"), encoded=True)
    rows, _ = parse(body)
    assert rows is not None
    assert [row.key for row in rows] == [decoded[key], "c,d"]


def test_an_empty_listing_has_no_rows() -> None:
    assert parse(page())[0] == []


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"<html>", 200), (b"", 200), (b"<Error><Code>NoSuchBucket</Code></Error>", 200),
     (b"\xff\xfe", 200), (page(VARIANTS[0]), 500)],
)  # fmt: skip
def test_anything_else_is_left_to_botocore(body: bytes, status: int) -> None:
    assert parse(body, status) == (None, body)
