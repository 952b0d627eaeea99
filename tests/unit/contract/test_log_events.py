"""Every call of a logger in the product's code is declared, and nothing else is."""

import ast
from collections import defaultdict
from functools import cache

import pytest
from support.paths import ROOT

from contract.log_events import EVENTS, IMAGE_FIELDS, OUTCOME, LogEvent
from contract.outcome import Outcome

LEVELS = {
    "debug": "debug", "info": "info", "warning": "warning", "error": "error",
    "exception": "error", "critical": "critical",
}  # fmt: skip
LOGGERS = {"log", "logger", "attempt_log"}
DECLARED = {event.text: event for events in EVENTS.values() for event in events}


@cache
def calls() -> list[tuple[str, ast.Call]]:
    """Return the calls of loggers' methods: of those with an event, and of `bind`."""
    return [
        (node.func.attr, node)
        for folder in ("contract", "producer", "worker")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if isinstance(node.func.value, ast.Name) and node.func.value.id in LOGGERS
    ]


def texts(call: ast.Call) -> list[str]:
    """Return the events that a call can log. Fails if one is no constant."""
    event = call.args[0]
    found = [event.body, event.orelse] if isinstance(event, ast.IfExp) else [event]
    assert all(isinstance(one, ast.Constant) for one in found), ast.unparse(call)
    return [one.value for one in found]


def names(call: ast.Call) -> set[str]:
    """Return the fields of a call, without those of a `**` argument."""
    return {word.arg for word in call.keywords if word.arg} - {"exc_info"}


def logged() -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Return the levels and the fields of each event in the code."""
    levels: dict[str, set[str]] = defaultdict(set)
    fields: dict[str, set[str]] = defaultdict(set)
    for method, call in calls():
        if method in LEVELS:
            for text in texts(call):
                levels[text].add(LEVELS[method])
                fields[text] |= names(call)
    return levels, fields


def test_events_are_declared_once_and_all_used():
    assert len(DECLARED) == sum(map(len, EVENTS.values()))
    levels, _ = logged()
    assert set(levels) == set(DECLARED)
    assert len(levels) > 50


def test_levels_are_as_declared():
    levels, _ = logged()
    assert levels == {text: {one.level, *one.also} for text, one in DECLARED.items()}


def test_fields_are_as_declared():
    _, fields = logged()
    # these two pass a dictionary, and callbacks bind theirs beforehand
    fields["image settled"] |= set(OUTCOME)
    fields["request"] |= {"method", "path", "status", "milliseconds"}
    bound = {field for method, call in calls() if method == "bind" for field in names(call)}
    for event in EVENTS["callbacks"]:
        if not {"batch"} & fields[event.text] and "batch" in event.fields:
            assert {"batch", "attempt"} <= bound
            fields[event.text] |= bound & set(event.fields)
    assert fields == {text: set(one.fields) for text, one in DECLARED.items()}


def test_the_lines_of_an_image_have_its_fields():
    bound = [
        names(node)
        for module in ("tasks", "attempt")
        for node in ast.walk(ast.parse((ROOT / f"worker/{module}.py").read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith((".bound_contextvars", ".bind_contextvars"))
    ]
    assert sorted(map(sorted, bound)) == [["attempt"], ["batch", "key", "line"]]
    assert set(IMAGE_FIELDS) == set().union(*bound)


def test_the_outcome_is_logged_whole():
    own = {"outputs", "worker", *IMAGE_FIELDS} - {"attempt"}
    assert set(OUTCOME) == set(Outcome.model_fields) - own


@pytest.mark.parametrize("event", DECLARED.values(), ids=lambda event: event.text)
def test_an_event_is_explained(event: LogEvent):
    assert event.meaning[0].isupper() or event.meaning[0] == "`"
    assert not event.meaning.endswith(".")
    assert "{" not in event.text
    assert len(set(event.fields)) == len(event.fields)
