"""Downloads a model's weights before anything starts.

In a child process, as the producer has none of the worker's packages.
"""

import subprocess

from contract.errors import ErrorCode, PermanentError
from contract.interpreter import python_command


class WeightsError(PermanentError):
    """The error that `cutout models pull` printed, with its code and text unchanged."""

    def __init__(self, printed: str) -> None:
        known = {code.value: code for code in ErrorCode}
        code = known.get(printed.partition(":")[0], ErrorCode.MODEL_MISSING)
        super().__init__(code, printed)

    def __str__(self) -> str:
        return self.message


def ensure_weights(model: str) -> None:
    """Download and verify the weights, unless they are there. Raises WeightsError."""
    command = python_command("worker", "models", "pull", model)
    answer = subprocess.run(command, check=False, capture_output=True, text=True)
    if answer.returncode != 0:
        lines = answer.stderr.strip().splitlines() or ["no message"]
        raise WeightsError(lines[-1].removeprefix("cutout: "))
