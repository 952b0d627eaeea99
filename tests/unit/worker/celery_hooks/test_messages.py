"""What is no message never reaches Celery."""

import json
from queue import Empty
from types import SimpleNamespace
from typing import Any

import pytest
from support.messages import CHECKED_BY_THE_TASK, GARBAGE, sound

from worker.celery_hooks.messages import MalformedMessageError, MessageFilter, check_message


def is_json(text: str | bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


MALFORMED = {
    name: json.loads(text)
    for name, text in GARBAGE.items()
    if is_json(text) and name not in CHECKED_BY_THE_TASK
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_message_is_named(name: str):
    with pytest.raises(MalformedMessageError) as caught:
        check_message(MALFORMED[name])
    assert str(caught.value).endswith(".")


def channel(read: Any, deliver: Any) -> Any:
    rejected: list[str] = []
    return SimpleNamespace(
        handlers={"BRPOP": read}, connection=SimpleNamespace(_deliver=deliver), rejected=rejected,
        basic_reject=lambda tag, requeue: rejected.append(tag),
    )  # fmt: skip


def raising(error: Exception) -> Any:
    def fail(*_: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize("redelivered", [False, True])
def test_a_message_of_a_dispatcher_reaches_celery(redelivered: bool):
    message = sound()
    if redelivered:  # it returned to its queue
        message["headers"]["redelivered"] = True
        message["properties"]["delivery_info"]["redelivered"] = True
    delivered: list[tuple[Any, str]] = []
    one = channel(None, lambda *of: delivered.append(of))
    MessageFilter(one, lambda *of: pytest.fail(f"dropped: {of}"), (OSError, KeyError))
    one.connection._deliver(message, "bulk")
    assert delivered == [(message, "bulk")]


@pytest.mark.parametrize("error", [Empty(), ConnectionError()])
def test_a_lost_connection_is_left_to_celery(error: Exception):
    dropped: list[tuple[str, str]] = []
    one = channel(raising(error), raising(error))
    MessageFilter(one, lambda *of: dropped.append(of), (OSError, KeyError))
    with pytest.raises(type(error)):
        one.handlers["BRPOP"]()
    if isinstance(error, ConnectionError):
        with pytest.raises(ConnectionError):
            one.connection._deliver(sound(), "bulk")
    assert not dropped


def test_a_message_that_celery_fails_with_is_dropped_and_does_not_return():
    dropped: list[tuple[str, str]] = []
    one = channel(None, raising(KeyError("retries")))
    MessageFilter(one, lambda *of: dropped.append(of), (OSError, KeyError))
    one.connection._deliver(sound(), "bulk")
    assert dropped == [("bulk", "Celery cannot process it (KeyError).")]
    assert one.rejected == [sound()["properties"]["delivery_tag"]]
