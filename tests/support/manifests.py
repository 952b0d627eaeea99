"""Manifests of every kind, with the same keys."""

import csv
import gzip
import hashlib
import io
import json
from urllib.parse import quote

import pyarrow as pa
from pyarrow import parquet

MODIFIED = "2026-01-01T00:00:00.000Z"
FORMATS = ("list", "csv", "jsonl", "parquet")
COMPRESSIONS = ("", "gz", "zst")


def manifest(keys: list[str], form: str, compression: str = "") -> bytes:
    """Return a manifest in one of FORMATS, compressed as one of COMPRESSIONS."""
    data = {"list": _list, "csv": _csv, "jsonl": _jsonl, "parquet": _parquet}[form](keys)
    return compressed(data, compression)


def compressed(data: bytes, compression: str) -> bytes:
    if compression == "gz":
        return gzip.compress(data)
    return pa.compress(data, "zstd", asbytes=True) if compression == "zst" else data


def _list(keys: list[str]) -> bytes:
    return "".join(f"{key}\n" for key in keys).encode()


def _csv(keys: list[str]) -> bytes:
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(["size", "key", "etag", "last_modified"])
    table.writerows([len(key), key, f'"{key[:5]}"', MODIFIED] for key in keys)
    return text.getvalue().encode()


def _jsonl(keys: list[str]) -> bytes:
    rows = ({"key": key, "size": len(key), "etag": key[:5]} for key in keys)
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _parquet(keys: list[str]) -> bytes:
    table = pa.table({"key": keys, "size": [len(key) for key in keys]})
    out = io.BytesIO()
    parquet.write_table(table, out)
    return out.getvalue()


def inventory(keys: list[str], form: str, bucket: str, store: str) -> dict[str, bytes]:
    """Return the objects of an S3 Inventory of `bucket`, written to the bucket `store`.

    `form`: `CSV` or `Parquet`. The rows are in two files; some are of other folders, older versions
    and deletions.
    """
    rows = [(bucket, key, "true", "false") for key in keys]
    rows += [(bucket, "elsewhere/x.jpg", "true", "false"), (bucket, keys[0], "false", "false")]
    rows += [(bucket, "in/deleted.jpg", "true", "true")]
    middle = len(rows) // 2
    files, objects = [], {}
    for number, part in enumerate([rows[:middle], rows[middle:]]):
        suffix = {"CSV": "csv.gz", "Parquet": "parquet"}[form]
        key = f"inventories/{bucket}/weekly/data/{number}.{suffix}"
        data = _inventory_csv(part) if form == "CSV" else _inventory_parquet(part)
        objects[key] = data
        digest = hashlib.md5(data).hexdigest()  # noqa: S324 - as S3 does
        files.append({"key": key, "size": len(data), "MD5checksum": digest})
    row = {
        "sourceBucket": bucket, "destinationBucket": f"arn:aws:s3:::{store}",
        "version": "2016-11-30", "creationTimestamp": "1767225600000", "fileFormat": form,
        "fileSchema": "Bucket, Key, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag",
        "files": files,
    }  # fmt: skip
    objects[f"inventories/{bucket}/weekly/2026-01-01T00-00Z/manifest.json"] = json.dumps(
        row
    ).encode()
    return objects


def _inventory_csv(rows: list[tuple[str, ...]]) -> bytes:
    text = io.StringIO(newline="")
    table = csv.writer(text, quoting=csv.QUOTE_ALL)
    for bucket, key, latest, deleted in rows:
        table.writerow([bucket, quote(key), latest, deleted, len(key), MODIFIED, key[:5]])
    return gzip.compress(text.getvalue().encode())


def _inventory_parquet(rows: list[tuple[str, ...]]) -> bytes:
    buckets, keys, latest, deleted = zip(*rows, strict=True)
    table = pa.table(
        {
            "bucket": buckets, "key": keys, "is_latest": [text == "true" for text in latest],
            "is_delete_marker": [text == "true" for text in deleted],
            "size": [len(key) for key in keys],
        }
    )  # fmt: skip
    out = io.BytesIO()
    parquet.write_table(table, out)
    return out.getvalue()
