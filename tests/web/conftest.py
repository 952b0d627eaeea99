from support.cluster_fixtures import cluster, quick_cluster, server, shared  # noqa: F401
from support.fixtures import clean_caches, ledger, shared_s3_model  # noqa: F401
