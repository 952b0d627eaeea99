"""Checks of this machine: settings, folders, weights, file limits, memory and ports."""

import os
import resource
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from contract.errors import ErrorCode
from contract.interpreter import python_command
from contract.paths import expand
from contract.settings import Settings
from contract.unknown_settings import unknown_settings
from producer.doctor.finding import Finding, Level

MIN_FILES = 1024
"""Open files that a worker with many children, or a server with many clients, may need."""
CHILD_BYTES = 900_000_000
"""Memory of a child with the largest float model at 4 megapixels: docs/models.md."""
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


class MachineChecks:
    def __init__(self, config: Settings) -> None:
        self._config = config

    def variables(self) -> Iterator[Finding]:
        """Name variables that look like settings and are none."""
        for sentence in unknown_settings(os.environ):
            what, _, step = sentence.removeprefix("invalid_setting: ").partition(". ")
            yield Finding("variables", Level.WARNING, f"{what}.", step)

    def folders(self) -> Iterator[Finding]:
        """Check that the folders for state and weights can be written to."""
        for name in ("state_dir", "model_dir"):
            folder = expand(getattr(self._config, name))
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                yield Finding(
                    "folders", Level.ERROR, f"{folder} cannot be made: {error.strerror}.",
                    f"Set CUTOUT_{name.upper()} to a folder that this user may write to.",
                )  # fmt: skip
                continue
            if not os.access(folder, os.W_OK):
                yield Finding(
                    "folders", Level.ERROR, f"{folder} is read-only for this user.",
                    f"Set CUTOUT_{name.upper()} to a folder that this user may write to.",
                )  # fmt: skip

    def weights(self) -> Iterator[Finding]:
        """Verify the digests of the weights that lie here. Nothing is downloaded."""
        # in a child process, as the producer has none of the worker's packages
        command = python_command("worker", "models", "verify")
        answer = subprocess.run(command, check=False, capture_output=True, text=True)
        verified = [line.partition(":")[0] for line in answer.stdout.splitlines()]
        for line in answer.stderr.strip().splitlines():
            code, _, text = line.removeprefix("cutout: ").partition(": ")
            if code == ErrorCode.MODEL_MISSING:
                yield Finding(
                    "weights", Level.WARNING, text.partition(". ")[0] + ".",
                    f"Run `cutout models pull {self._config.model}` before workers start.",
                )  # fmt: skip
            elif code == ErrorCode.MODEL_MISMATCH:
                yield Finding("weights", Level.ERROR, f"{code}: {text}")
        if verified:
            yield Finding("weights", Level.OK, f"verified: {', '.join(verified)}")
        if verified and self._config.model not in verified:
            yield Finding(
                "weights", Level.WARNING, f"{self._config.model} is not among them.",
                f"Run `cutout models pull {self._config.model}` before workers start.",
            )  # fmt: skip

    def limits(self) -> Iterator[Finding]:
        """Check the limits of open files and of memory."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if 0 <= files < MIN_FILES:
            yield Finding(
                "limits", Level.WARNING, f"A process may open only {files} files here.",
                f"Raise it: `ulimit -n {MIN_FILES}`, or LimitNOFILE= of the service.",
            )  # fmt: skip
        children = max(1, len(os.sched_getaffinity(0)))
        memory = _memory()
        if memory < children * CHILD_BYTES:
            yield Finding(
                "limits", Level.WARNING,
                f"{memory / 1e9:.1f} GB of memory for {children} CPUs: a child of u2net takes up to"
                f" {CHILD_BYTES / 1e9:.1f} GB.",
                "Use an INT8 model, start fewer children (`--concurrency`), or add memory.",
            )  # fmt: skip
        else:
            yield Finding("limits", Level.OK, f"{memory / 1e9:.0f} GB of memory, {children} CPUs")

    def ports(self) -> Iterator[Finding]:
        """Check that the ports of Flower and of the server are free, or in use by them."""
        for name in ("flower", "web"):
            address = getattr(self._config, f"{name}_address")
            port = getattr(self._config, f"{name}_port")
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((address, port))
                except OSError as error:
                    yield Finding(
                        "ports", Level.WARNING, f"Port {port} of {address}: {error.strerror}.",
                        f"If `cutout {'serve' if name == 'web' else name}` is not running here, set"
                        f" CUTOUT_{name.upper()}_PORT or CUTOUT_{name.upper()}_ADDRESS.",
                    )  # fmt: skip


def _memory() -> int:
    """Return the bytes of memory that this process and its children may use."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(total, int(CGROUP_LIMIT.read_text()))
    except (OSError, ValueError):  # no cgroup v2, or no limit
        return total
