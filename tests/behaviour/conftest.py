from support.fixtures import clean_caches, ledger, shared_s3_model  # noqa: F401
from support.listing import proxy, small_bucket, small_pages  # noqa: F401
