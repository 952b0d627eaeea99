from support.cluster_fixtures import cluster, quick_cluster, server, shared  # noqa: F401
from support.fixtures import clean_caches, ledger  # noqa: F401
