"""The columns of a manifest that are read, by whatever name users and S3 Inventory give them."""

ALIASES = {"lastmodifieddate": "lastmodified", "modified": "lastmodified", "path": "key"}
"""Other names of columns, in small letters and without `_`."""
COLUMNS = frozenset(
    {"key", "size", "etag", "lastmodified", "bucket", "islatest", "isdeletemarker"}
)  # fmt: skip
"""Columns by their plain names; a manifest may have others, which are not read."""


def plain_name(column: str) -> str:
    """Return a column's name in small letters, without `_` and spaces, by ALIASES."""
    name = column.strip().lower().replace("_", "")
    return ALIASES.get(name, name)
