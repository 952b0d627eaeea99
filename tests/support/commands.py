"""The installed command, run as a user runs it. Nothing here imports the product."""

import os
import re
import subprocess

from support.services import BIN

CUTOUT = str(BIN / "cutout")


def cutout(*arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a verb to its end, with these environment variables added."""
    return subprocess.run(
        [CUTOUT, *map(str, arguments)],
        check=False, capture_output=True, text=True, env={**os.environ, **env}, timeout=240,
    )  # fmt: skip


def addresses_of(stack: subprocess.Popen[str]) -> tuple[str, str]:
    """Wait until a `cutout up` is ready; return the URLs of Flower and Redis that it prints."""
    assert stack.stderr
    printed = ""
    while "Ctrl-C" not in printed:
        line = stack.stderr.readline()
        assert line, printed
        printed += line
    (urls,) = re.findall(r"Flower: (\S+).*CUTOUT_REDIS_URL=(\S+)", printed, re.DOTALL)
    return urls
