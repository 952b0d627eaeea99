"""Names environment variables that look like settings and are none: a typo has no other sign."""

import os
import re
import sys
from collections.abc import Mapping
from difflib import get_close_matches

from contract.errors import ErrorCode, PermanentError
from contract.secret_files import SUFFIX
from contract.settings import SECRETS, Settings

PREFIX = Settings.model_config["env_prefix"]
FIELDS = tuple(map(str.upper, [*Settings.model_fields, *(name + SUFFIX for name in SECRETS)]))

SERVICE_LINK = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)\w*)?)")
"""Matches what Kubernetes sets in every pod for each Service of the namespace."""


def unknown_settings(environment: Mapping[str, str]) -> list[str]:
    """Return a sentence for each variable named like a setting that no process reads."""
    return [
        _sentence(name)
        for name in sorted(environment)
        if name.startswith(PREFIX)
        and name.removeprefix(PREFIX) not in FIELDS
        and not SERVICE_LINK.fullmatch(name.removeprefix(PREFIX))
    ]


def _sentence(name: str) -> str:
    near = get_close_matches(name.removeprefix(PREFIX), FIELDS, n=1)
    meant = f"; the nearest one is {PREFIX}{near[0]}" if near else ""
    return str(
        PermanentError(ErrorCode.INVALID_SETTING, f"{name} is set, but is no setting{meant}.")
    )


def print_unknown_settings() -> None:
    """Print the sentences to standard error. Other releases may know the names: no error."""
    for sentence in unknown_settings(os.environ):
        print(f"cutout: warning: {sentence}", file=sys.stderr)  # noqa: T201 - logging is not set up
