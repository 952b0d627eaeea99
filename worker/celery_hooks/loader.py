"""Imports task modules without the user's current folder.

Celery puts the current folder first on the module path while it imports the modules named in
`include`, and with them all that those modules import: a file `numpy.py` there would run. It does
so by design (`celery.utils.imports.import_from_cwd`); there is no option against it.
"""

from importlib import import_module
from types import ModuleType
from typing import Any

from celery.loaders.app import AppLoader


class SafeLoader(AppLoader):
    """Celery's loader of an app, with the ordinary module path."""

    def import_from_cwd(
        self, module: str, imp: Any = None, package: str | None = None
    ) -> ModuleType:
        return (imp or import_module)(module, package=package)
