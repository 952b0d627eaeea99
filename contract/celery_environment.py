"""Keeps Celery from reading its options from the user's environment.

Celery's command line reads a variable for each of its options, some with everyday names: with
`APP=shop` set, `cutout worker` would import a module `shop` from the current folder instead of
starting, and with CELERY_BROKER_URL set it would use another broker than CUTOUT_REDIS_URL.
"""

import os

VARIABLES = (
    "APP", "BROKER_URL", "RESULT_BACKEND", "LOADER", "CONFIG_MODULE",
    "CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL",
    "CELERY_RESULT_BACKEND", "CELERY_LOADER", "CELERY_CONFIG_MODULE",
)  # fmt: skip


def clear_celery_options() -> None:
    """Remove Celery's variables from this process's environment, and so from its children's."""
    for name in VARIABLES:
        os.environ.pop(name, None)
