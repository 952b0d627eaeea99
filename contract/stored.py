"""Reads what another process has stored, which may be of a newer release than this one.

Models forbid unknown fields: who ignored one would do something else than was asked for.
"""

from collections.abc import Callable
from typing import TypeVar

from pydantic import ValidationError

from contract import names
from contract.errors import ErrorCode, PermanentError
from contract.validation import first_error

Stored = TypeVar("Stored")
Model = TypeVar("Model")


def read_stored(validate: Callable[[Stored], Model], stored: Stored, what: str) -> Model:
    """Return `validate(stored)`, such as `BatchSpec.model_validate_json` of a text.

    `what`: what is stored, for the error: `Batch b-1`. Raises PermanentError (`newer_release`).
    """
    try:
        return validate(stored)
    except ValidationError as error:
        raise newer_release(what, first_error(error).sentence) from None


def newer_release(what: str, problem: str) -> PermanentError:
    """Return the error of something that this release cannot read. `problem`: a sentence."""
    message = f"{what} comes from a newer release, or is damaged: {names.printable(problem)}"
    return PermanentError(ErrorCode.NEWER_RELEASE, message)


def is_newer_release(error: Exception) -> bool:
    """Return whether an error says that this release cannot read something."""
    return isinstance(error, PermanentError) and error.code is ErrorCode.NEWER_RELEASE
