"""Drops what is in a queue and is no message, before kombu or Celery see it.

Anyone with access to Redis can push anything into a queue. Where they expect something else, kombu
and Celery raise various errors in the main process, which end it; the message returns to the queue,
and ends the next worker.
"""

import base64
from collections.abc import Callable
from queue import Empty
from typing import Any, Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from contract import names
from contract.validation import first_error

log = structlog.get_logger(__name__)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _DeliveryInfo(_Part):
    exchange: str
    routing_key: str


class _Properties(_Part):
    delivery_tag: str
    body_encoding: Literal["base64"]
    delivery_info: _DeliveryInfo


class _Headers(_Part):
    task: str = Field(pattern=f"^{names.CUT_TASK}$")
    id: str
    # options of Celery that no dispatcher sets; with wrong values, Celery fails after it has taken
    # the message
    eta: None = None
    expires: None = None
    timelimit: tuple[None, None] | None = None
    compression: None = None
    stamped_headers: None = None
    stamps: dict[str, Any] = {}


class _Message(_Part):
    """A message as kombu stores it in Redis."""

    body: str
    content_type: Literal["application/json"] = Field(alias="content-type")
    content_encoding: Literal["utf-8"] = Field(alias="content-encoding")
    headers: _Headers
    properties: _Properties


class _Arguments(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    job: dict[str, Any]


_BODY: TypeAdapter[Any] = TypeAdapter(tuple[tuple[()], _Arguments, dict[str, None]])
"""Positional arguments, keyword arguments, and links to other tasks, as Celery serializes them."""


class MalformedMessageError(Exception):
    """Why something in a queue is no message, as a sentence."""


def check_message(message: object) -> None:
    """Raise MalformedMessageError unless Celery can begin a task with the message."""
    try:
        body = _Message.model_validate(message).body
    except ValidationError as error:
        raise MalformedMessageError(first_error(error).sentence) from None
    try:
        _BODY.validate_json(base64.b64decode(body, validate=True))
    except ValidationError as error:
        raise MalformedMessageError(f"Body: {first_error(error).sentence}") from None
    except ValueError:
        raise MalformedMessageError("The body is not base64.") from None


class MessageFilter:
    """Stands between a kombu channel and Celery, from its creation until the channel is closed."""

    def __init__(
        self,
        channel: Any,
        dropped: Callable[[str, str], None],
        connection_errors: tuple[type[Exception], ...],
    ) -> None:
        """Intercept what the channel receives.

        `dropped`: called with the queue, if it is known, and the reason.
        """
        self._channel = channel
        self._dropped = dropped
        # kombu lists KeyError too: a message without a field would make Celery connect again
        self._connection_errors = tuple(one for one in connection_errors if one is not KeyError)
        self._read = channel.handlers["BRPOP"]
        self._deliver = channel.connection._deliver  # noqa: SLF001 - no public name
        channel.handlers["BRPOP"] = self.read
        channel.connection._deliver = self.deliver  # noqa: SLF001

    def read(self) -> Any:
        """Take a message from its queue and deliver it; drop it if it is not JSON."""
        try:
            return self._read()
        except Empty:
            raise
        except self._connection_errors:
            raise
        except Exception as error:
            self._dropped("", f"It is not JSON ({type(error).__name__}).")
            return True

    def deliver(self, message: Any, queue: str) -> None:
        """Hand a message to Celery, unless it is malformed or Celery fails with it."""
        try:
            check_message(message)
        except MalformedMessageError as error:
            self._dropped(queue, str(error))
            return
        try:
            self._deliver(message, queue)
        except self._connection_errors:
            raise
        except Exception as error:
            log.exception("unexpected error", exc_info=error)
            self._dropped(queue, f"Celery cannot process it ({type(error).__name__}).")
            tag = message["properties"]["delivery_tag"]
            self._channel.basic_reject(tag, requeue=False)
