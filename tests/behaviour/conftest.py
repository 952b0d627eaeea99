from support.fixtures import clean_caches, ledger, shared_s3_model  # noqa: F401
