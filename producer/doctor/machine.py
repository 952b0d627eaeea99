"""Checks of this machine: settings, folders, weights, file limits, memory and ports."""

import http
import http.client
import os
import resource
import socket
import subprocess
from collections.abc import Iterator

from contract import traces
from contract.cpus import available_cpus, available_memory
from contract.errors import NEXT_STEP, ErrorCode
from contract.interpreter import python_command
from contract.paths import expand
from contract.settings import CPU, Settings
from contract.unknown_settings import unknown_settings
from producer.doctor.finding import Finding, error, ok, warning

MIN_FILES = 1024
"""Open files that a worker with many children, or a server with many clients, may need."""
CHILD_BYTES = 900_000_000
"""Memory of a child with the largest float model at 4 megapixels: docs/models.md."""

ANSWER_SECONDS = 2
"""Time that a server on this machine has to answer."""


class MachineChecks:
    def __init__(self, config: Settings) -> None:
        self._config = config

    def variables(self) -> Iterator[Finding]:
        """Name variables that look like settings and are none."""
        for sentence in unknown_settings(os.environ):
            what, _, step = sentence.removeprefix("invalid_setting: ").partition(". ")
            yield warning(f"{what}.", step)

    def traces(self) -> Iterator[Finding]:
        """Check that traces can be sent if they are wanted. No connection is made."""
        traces.check()
        if traces.are_wanted():
            yield ok("traces are sent by OpenTelemetry")

    def folders(self) -> Iterator[Finding]:
        """Check that the folders for state and weights can be written to."""
        for name in ("state_dir", "model_dir"):
            folder = expand(getattr(self._config, name))
            try:
                folder.mkdir(parents=True, exist_ok=True)
                reason = "" if os.access(folder, os.W_OK) else "it is read-only for this user"
            except OSError as raised:
                reason = str(raised.strerror)
            if reason:
                yield error(
                    f"{folder} cannot be used: {reason}.",
                    f"Set CUTOUT_{name.upper()} to a folder that this user may write to.",
                )

    @property
    def _pull_step(self) -> str:
        return f"Run `cutout models pull {self._config.model}` before workers start."

    def weights(self) -> Iterator[Finding]:
        """Verify the digests of the weights that lie here. Nothing is downloaded."""
        answer = _models("verify")
        verified = [line.partition(":")[0] for line in answer.stdout.splitlines()]
        yield from _errors(answer, self._pull_step)
        if verified:
            yield ok(f"verified: {', '.join(verified)}")
        if verified and self._config.model not in verified:
            yield warning(f"{self._config.model} is not among them.", self._pull_step)

    def providers(self) -> Iterator[Finding]:
        """Load the model with CUTOUT_PROVIDERS and compare its mattes, unless `cpu` is alone."""
        if self._config.providers == (CPU,):
            return
        answer = _models("check", self._config.model)
        errors = list(_errors(answer, self._pull_step))
        if answer.returncode and not errors:
            yield error(
                f"`cutout models check` ended with status {answer.returncode}.",
                "Run it by itself to see why, or set CUTOUT_PROVIDERS=cpu.",
            )
        yield from errors
        yield from map(ok, answer.stdout.splitlines())

    def limits(self) -> Iterator[Finding]:
        """Check the limits of open files and of memory."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if 0 <= files < MIN_FILES:
            yield warning(
                f"A process may open only {files} files here.",
                f"Raise it: `ulimit -n {MIN_FILES}`, or LimitNOFILE= of the service.",
            )
        cpus, memory = available_cpus(), available_memory()
        if memory < cpus * CHILD_BYTES:
            yield warning(
                f"{memory / 1e9:.1f} GB of memory for {cpus} CPUs: a child of u2net takes up to"
                f" {CHILD_BYTES / 1e9:.1f} GB.",
                "Use an INT8 model, start fewer children (`--concurrency`), or add memory.",
            )
        else:
            yield ok(f"{memory / 1e9:.0f} GB of memory, {cpus} CPUs")

    def ports(self) -> Iterator[Finding]:
        """Check that the ports of Flower, the server and the metrics are free, or used by them."""
        servers = {
            "flower": ("`cutout flower`", "/healthcheck"),
            "web": ("`cutout serve`", "/healthz"),
            "metrics": ("its process", "/healthz"),
        }
        for name, (server, path) in servers.items():
            address = getattr(self._config, f"{name}_address")
            port = getattr(self._config, f"{name}_port")
            if not port or not (reason := _why_not_free(address, port)):
                continue
            if _answers(address, port, path):
                yield ok(f"port {port} of {address}: {server} answers")
            else:
                yield warning(
                    f"Port {port} of {address}: {reason}.",
                    f"If {server} is not running here, set"
                    f" CUTOUT_{name.upper()}_PORT or CUTOUT_{name.upper()}_ADDRESS.",
                )


def _why_not_free(address: str, port: int) -> str:
    """Return why a server cannot listen there, or nothing."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as raised:
            return raised.strerror or str(raised)
    return ""


def _answers(address: str, port: int, path: str) -> bool:
    """Return whether an HTTP server answers 200 there."""
    connection = http.client.HTTPConnection(address, port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _models(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `cutout models` in a child process: the producer has none of the worker's packages."""
    command = python_command("worker", "models", *arguments)
    return subprocess.run(command, check=False, capture_output=True, text=True)


def _errors(answer: subprocess.CompletedProcess[str], pull: str) -> Iterator[Finding]:
    """Yield the errors that `cutout models` printed; `pull`: the next step if weights are missing.

    Lines without a code, such as a traceback's, are left out.
    """
    known = {code.value: code for code in ErrorCode}
    for line in answer.stderr.strip().splitlines():
        code, _, text = line.removeprefix("cutout: ").partition(": ")
        if code == ErrorCode.MODEL_MISSING:
            yield warning(text.partition(". ")[0] + ".", pull)
        elif code in known:
            step = NEXT_STEP[known[code]]
            yield error(f"{code}: {text.removesuffix(step).strip()}", step)
