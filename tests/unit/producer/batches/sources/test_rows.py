"""Manifests of anybody's: what is read, and how bad lines are named."""

import io

import pytest

from contract.storage import ObjectInfo
from producer.batches.sources import formats
from producer.batches.sources.files import BadManifestError
from producer.batches.sources.formats import read_rows
from producer.batches.sources.rows import RowReader, text_key

DAY = 1_767_225_600.0  # 2026-01-01


def read(content: str | bytes, *, needs_modified: bool = False) -> RowReader:
    data = content.encode() if isinstance(content, str) else content
    reader = RowReader(text_key, needs_modified)
    reader.found = reader.objects(read_rows(io.BytesIO(data)))
    return reader


def objects(content: str | bytes) -> list[ObjectInfo]:
    reader = read(content)
    assert reader.unreadable == []
    return reader.found


FULL = ObjectInfo("shoes/a b.jpg", 12, "abc", DAY)


@pytest.mark.parametrize(
    "content",
    [
        'key,size,etag,last_modified\nshoes/a b.jpg,12,"""abc""",2026-01-01T00:00:00Z\n',
        "\ufeffKey,Size,ETag,LastModifiedDate\r\nshoes/a b.jpg,12,abc,2026-01-01\r\n",
        "\n\netag,key,other,modified,size\nabc,shoes/a b.jpg,x,2026-01-01T01:00:00+01:00,12",
        '{"key": "shoes/a b.jpg", "size": 12, "etag": "abc", "last_modified": 1767225600}\n',
        '\ufeff{"key": "shoes/a b.jpg", "size": 12, "etag": "abc", "modified": "2026-01-01"}\r\n',
        '\n{"Key": "shoes/a b.jpg", "Size": 12, "ETag": "\\"abc\\"", "LastModified": "2026-01-01"}',
    ],
)
def test_rows_are_read_by_the_names_of_their_columns(content: str) -> None:
    assert objects(content) == [FULL]


def test_a_plain_list_of_keys_is_a_manifest() -> None:
    assert objects("a.jpg\nshoes/b.jpg\n\nc d.jpg") == [
        ObjectInfo("a.jpg", -1, ""), ObjectInfo("shoes/b.jpg", -1, ""),
        ObjectInfo("c d.jpg", -1, ""),
    ]  # fmt: skip
    assert objects("") == []


def test_older_versions_and_deletions_are_left_out() -> None:
    table = (
        "key,is_latest,is_delete_marker\nnew.jpg,true,false\nold.jpg,false,false\n"
        "gone.jpg,true,true\nplain.jpg,,\n"
    )
    assert [item.key for item in objects(table)] == ["new.jpg", "plain.jpg"]


def test_names_that_are_not_unicode_are_kept() -> None:
    (item,) = objects(b"caf\xe9.jpg\n")
    assert item.key == "caf\udce9.jpg"


LONG = "the key has more than 4,096 bytes"
SIZE = "the size is not a number of bytes"
ETAG = "the etag is not a text of at most 1,024 bytes"
DATE = "last_modified is not a date as 2026-01-31T12:00:00Z"


@pytest.mark.parametrize(
    ("content", "unreadable"),
    [
        ("key,size\na.jpg,1\nb.jpg\n\nc.jpg,1,2\n",
         ["line 3: 1 fields instead of 2", "line 5: 3 fields instead of 2"]),
        ("key,size\na.jpg,-1\n", [f"line 2: {SIZE}"]),
        ("key,size\na.jpg,1e3\n", [f"line 2: {SIZE}"]),
        ("key,size\na.jpg," + "9" * 400 + "\n", [f"line 2: {SIZE}"]),
        ("key,etag\n,x\n", ["line 2: no key"]),
        ("key,etag\na.jpg," + "x" * 2000 + "\n", [f"line 2: {ETAG}"]),
        ("key,etag\na.jpg,\x1b[31m\n", [f"line 2: {ETAG}"]),
        ("key,modified\na.jpg,yesterday\n", [f"line 2: {DATE}"]),
        ("key,size\n" + "a" * 5000 + ".jpg,1\n", [f"line 2: {LONG}"]),
        ("key,note\na.jpg," + "x" * 200_000 + "\n",
         ["line 2: field larger than field limit (131072)"]),
        ('{"key": "a.jpg"}\n{"key": 1}\nno\n[]\n{}\n',
         ["line 2: no key", "line 3: not JSON", "line 4: not a JSON object", "line 5: no key"]),
        ('{"key": "a", "size": true}\n', [f"line 1: {SIZE}"]),
        ('{"key": "a", "size": 1.5}\n', [f"line 1: {SIZE}"]),
        ('{"key": "a", "last_modified": NaN}\n', [f"line 1: {DATE}"]),
        ('{"key": "a", "last_modified": -1}\n', [f"line 1: {DATE}"]),
        ('{"a":' * 100_000 + "\n", ["line 1: not JSON"]),
        ('{"size": ' + "9" * 5000 + "}\n", ["line 1: not JSON"]),
    ],
    ids=range(17),
)  # fmt: skip
def test_unreadable_lines_are_named(content: str, unreadable: list[str]) -> None:
    assert read(content).unreadable == unreadable


OPEN_QUOTE = "a quote is not closed"
MANY = "".join(f"{number}.jpg\n" for number in range(5000))


@pytest.mark.parametrize(
    ("content", "keys", "unreadable"),
    [
        ('a.jpg\n"b.jpg\nc.jpg\nd.jpg\n', ["a.jpg", "c.jpg", "d.jpg"], [2]),
        ('key\n"b.jpg', [], [2]),
        ('key,size\n"b.jpg,1\nc.jpg,2\n"d.jpg,3\ne.jpg,4\n', ["c.jpg", "e.jpg"], [2, 4]),
        (f'key\n"b.jpg\n{MANY}', MANY.split(), [2]),
        ('key,note\na.jpg,"two\nlines, ""quoted"""\nb.jpg,\n', ["a.jpg", "b.jpg"], []),
        ('key\n"two\nlines.jpg"\nb.jpg\n', ["two\nlines.jpg", "b.jpg"], []),
    ],
    ids=["to the end", "the last line", "two", "more lines than a record has", "note", "key"],
)
def test_a_quote_that_is_not_closed_costs_its_line_only(
    content: str, keys: list[str], unreadable: list[int]
) -> None:
    reader = read(content)
    assert [item.key for item in reader.found] == keys
    assert reader.unreadable == [f"line {number}: {OPEN_QUOTE}" for number in unreadable]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,size\na.jpg,1\n", "no column `key`"),
        ("a.jpg,1\nb.jpg,1\n", "no column `key`"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * (2 << 20), "more than 1,048,576 bytes"),
        ("x" * (2 << 20), "more than 1,048,576 bytes"),
        ('{"key": "' + "x" * (2 << 20), "more than 1,048,576 bytes"),
    ],
    ids=["another header", "no header", "a picture", "one line", "one object"],
)
def test_what_is_no_manifest_is_refused(content: str | bytes, message: str) -> None:
    with pytest.raises(BadManifestError, match=message):
        read(content)


def test_a_selection_by_time_needs_times() -> None:
    reader = read("key,modified\na.jpg,2026-01-01\nb.jpg,\n", needs_modified=True)
    assert [item.key for item in reader.found] == ["a.jpg"]
    assert reader.unreadable == ["line 3: no last_modified, which --since and --only-changed need"]


def test_lines_are_read_one_at_a_time(monkeypatch) -> None:
    monkeypatch.setattr(formats, "MAX_LINE_BYTES", 100)
    many = "key\n" + "".join(f"{number}.jpg\n" for number in range(1000))
    assert len(objects(many)) == 1000
