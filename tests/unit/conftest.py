"""Pure tests: no service and hardly a process. One profile says how hard Hypothesis searches."""

import os

from hypothesis import settings
from support.fixtures import clean_caches, ledger, shared_s3_model  # noqa: F401

settings.register_profile("quick", max_examples=25, deadline=None, database=None)
settings.register_profile("thorough", max_examples=300, deadline=None, database=None)
settings.load_profile("thorough" if os.environ.get("CI") else "quick")
