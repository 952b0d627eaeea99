"""Imports task modules without searching the user's current folder.

Celery puts the current folder first on `sys.path` while it imports the modules named in `include`,
and with them everything that those modules import: a file `numpy.py` there would run. That is by
design (`celery.utils.imports.import_from_cwd`), and no setting changes it.
"""

from importlib import import_module
from types import ModuleType
from typing import Any

from celery.loaders.app import AppLoader


class SafeLoader(AppLoader):
    """Celery's loader, with an unchanged `sys.path`."""

    def import_from_cwd(
        self, module: str, imp: Any = None, package: str | None = None
    ) -> ModuleType:
        return (imp or import_module)(module, package=package)
