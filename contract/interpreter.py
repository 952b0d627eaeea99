"""The command for starting a Python module in a process of its own."""

import sys


def python_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module, never importing from the user's current folder.

    `python -m` puts the current folder first on the module path, so a folder that holds a file
    `json.py` or `worker/__main__.py` would have it run. `-P` leaves the current folder out.
    """
    return [sys.executable, "-P", "-m", module, *arguments]
