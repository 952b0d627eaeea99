"""docker-compose.yml and the Dockerfiles, read as an engine reads them."""

import re
import shlex
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import yaml

from support.paths import ROOT

COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILES = ["deploy/producer.Dockerfile", "deploy/worker.Dockerfile"]
VARIABLE = re.compile(r"\$\{(\w+)(?::?([-?])([^}]*))?\}")
WORKERS = ["worker", "quarantine", "interactive"]
OURS = ["weights", *WORKERS, "dispatcher", "web", "flower"]


def example() -> dict[str, str]:
    """Return the variables of .env.example."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    rows = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name: value for name, _, value in rows}


def interpolate(node: Any, values: dict[str, str]) -> Any:
    """Replace variables in the values of the parsed file, as compose does."""
    if isinstance(node, dict):
        return {key: interpolate(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [interpolate(value, values) for value in node]
    if not isinstance(node, str):
        return node

    def value(match: re.Match[str]) -> str:
        name, operator, default = match.groups()
        return values.get(name) or (default if operator == "-" else values[name])

    return VARIABLE.sub(value, node)


@cache
def compose() -> dict[str, dict[str, Any]]:
    """Return the services by name, with the variables of .env.example."""
    found: dict[str, dict[str, Any]] = interpolate(
        yaml.safe_load(COMPOSE.read_text())["services"], example()
    )
    return found


@cache
def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """Return a Dockerfile as (instruction, rest) pairs."""
    lines = (ROOT / dockerfile).read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    pairs = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    return [(name, rest) for name, rest in pairs]


@dataclass
class Stage:
    """The instructions of a Dockerfile from one FROM to the next."""

    name: str
    """that after AS; empty for the last"""
    steps: list[tuple[str, str]] = field(default_factory=list)

    def last(self, instruction: str) -> str:
        """Return what follows the last such instruction, or nothing."""
        return dict(self.steps).get(instruction, "")

    @property
    def environment(self) -> dict[str, str]:
        """Return the values of ENV, with variables unexpanded."""
        words = [word for name, rest in self.steps if name == "ENV" for word in shlex.split(rest)]
        return {name: value for name, _, value in (word.partition("=") for word in words)}


@cache
def stages(dockerfile: str) -> list[Stage]:
    found: list[Stage] = []
    for instruction, rest in instructions(dockerfile):
        if instruction == "FROM":
            found.append(Stage(name=rest.partition(" AS ")[2]))
        else:
            found[-1].steps.append((instruction, rest))
    return found


def final_stage(dockerfile: str) -> Stage:
    return stages(dockerfile)[-1]


def seconds(duration: str) -> float:
    """Return the seconds of a compose duration such as `30s`."""
    return float(duration.removesuffix("s"))
