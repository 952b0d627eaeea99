"""A message as the dispatcher sends it, and everything that may lie in a queue instead."""

import base64
import copy
import json
from collections.abc import Callable
from typing import Any

Message = dict[str, Any]
JOB = {"batch": "b-20200101-000000-aaaaaa", "line": 0, "photograph": {"key": "a.jpg"}}


def encoded(body: object) -> str:
    return base64.b64encode(json.dumps(body).encode()).decode()


def sound() -> Message:
    return {
        "body": encoded([[], {"job": JOB}, {"callbacks": None, "chord": None}]),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "task": "cutout.cut", "id": "b-20200101-000000-aaaaaa.0", "eta": None, "expires": None,
            "retries": 0, "timelimit": [None, None], "lang": "py",
        },
        "properties": {
            "delivery_mode": 2, "delivery_tag": "dec7fa2e-0000-4000-8000-000000000000",
            "delivery_info": {"exchange": "", "routing_key": "bulk"}, "priority": 0,
            "body_encoding": "base64",
        },
    }  # fmt: skip


def _changed(change: Callable[[Message], object]) -> str:
    message = copy.deepcopy(sound())
    change(message)
    return json.dumps(message)


def _with(part: str, **values: object) -> str:
    return _changed(lambda message: message[part].update(values))


def _without(part: str, name: str) -> str:
    return _changed(lambda message: message[part].pop(name))


def _body(body: object) -> str:
    return _changed(lambda message: message.update(body=encoded(body)))


GARBAGE: dict[str, str | bytes] = {
    "no JSON": "garbage",
    "nothing": "",
    "no UTF-8": b"\x80\x04\x95garbage\xff",
    "JSON half": json.dumps(sound())[:-20],
    "JSON nested deeply": "[" * 100_000,
    "a type of kombu's": '{"__type__": "datetime", "__value__": "tomorrow"}',
    "a number": "7",
    "a list": "[]",
    "null": "null",
    "no fields": "{}",
    "no properties": _changed(lambda message: message.pop("properties")),
    "no headers": _changed(lambda message: message.pop("headers")),
    "headers in a list": _changed(lambda message: message.update(headers=[])),
    "no delivery tag": _without("properties", "delivery_tag"),
    "a delivery tag that is no text": _with("properties", delivery_tag={}),
    "no delivery info": _without("properties", "delivery_info"),
    "an unknown encoding of the body": _with("properties", body_encoding="rot13"),
    "another content type": _changed(
        lambda message: message.update({"content-type": "application/x-python-serialize"})
    ),
    "another character encoding": _changed(
        lambda message: message.update({"content-encoding": "klingon"})
    ),
    "an unknown compression": _with("headers", compression="application/x-no-such"),
    "an unknown task": _with("headers", task="tasks.add"),
    "a task that is no text": _with("headers", task=["cutout.cut"]),
    "no task": _without("headers", "task"),
    "no ID": _without("headers", "id"),
    "an ID that is no text": _with("headers", id=7),
    "a time limit that is none": _with("headers", timelimit=[1]),
    "an hour that is none": _with("headers", eta="tomorrow"),
    "names of stamps that are none": _with("headers", stamped_headers=1),
    "stamps that are none": _with("headers", stamps=None),
    "a body that is not base64": _changed(lambda message: message.update(body="%%%")),
    "a body that is not JSON": _changed(lambda message: message.update(body="Z2FyYmFnZQ==")),
    "an empty body": _changed(lambda message: message.update(body="")),
    "a number in the body": _body(7),
    "no arguments": _body([[], {}, {}]),
    "other arguments": _body([[1, 2], {}, {}]),
    "a job that is no object": _body([[], {"job": "a.jpg"}, {}]),
    "a job without fields": _body([[], {"job": {}}, {}]),
}
"""What it is -> what is pushed."""
CHECKED_BY_THE_TASK = {"a job without fields"}
"""Sound as messages; the task finds that they hold no job of any release."""
