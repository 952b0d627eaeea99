"""Like `unit` and `behaviour`, but too slow for `make check`: real networks, and a browser."""

from support.fixtures import clean_caches, ledger, shared_s3_model  # noqa: F401
