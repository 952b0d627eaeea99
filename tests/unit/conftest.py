from support.fixtures import clean_caches, ledger  # noqa: F401
