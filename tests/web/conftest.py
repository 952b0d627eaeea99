from support.cluster_fixtures import (  # noqa: F401
    cluster,
    quick_cluster,
    server,
    server_settings,
    shared,
)
from support.fixtures import clean_caches, ledger, shared_s3_model  # noqa: F401
