"""A temporary folder for one run of the tests, which must be empty when the run ends.

TMPDIR points to it, so every process that a test starts uses it too. pytest's own folders
(`tmp_path`) are its neighbours: they are removed with it, unless a test failed.
"""

import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest

PREFIX = "ct-"
"""Short: sockets lie inside, and their paths may have about 100 characters."""
GRACE_SECONDS = 5
"""How long processes that were stopped last may take to remove their files."""


class TemporaryFolder:
    """A pytest plugin; only the controlling process has it, its xdist workers inherit TMPDIR."""

    def __init__(self, config: pytest.Config) -> None:
        self._before = os.environ.get("TMPDIR")
        self._root = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._keep = False
        self._left: list[str] = []
        self._folder = self._root / "tmp"
        self._folder.mkdir()
        os.environ["TMPDIR"] = str(self._folder)
        tempfile.tempdir = None  # read TMPDIR again
        if config.option.basetemp is None:
            config.option.basetemp = str(self._root / "pytest")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Fail a run that passed but left files."""
        deadline = time.monotonic() + GRACE_SECONDS
        while any(self._folder.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.1)
        self._left = sorted(path.name for path in self._folder.iterdir())
        self._keep = exitstatus == pytest.ExitCode.TESTS_FAILED
        if self._left and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._left:
            terminalreporter.section("left in the temporary folder", red=True)
            terminalreporter.write_line("\n".join(self._left))
        if self._keep:
            terminalreporter.write_line(f"The folders of failed tests are in {self._root}.")

    def pytest_unconfigure(self) -> None:
        if not self._keep:
            shutil.rmtree(self._root, ignore_errors=True)
        if self._before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = self._before
        tempfile.tempdir = None
