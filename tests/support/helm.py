"""Helm's own library, in a process of its own: its Go runtime handles signals and starts threads.

python tests/support/helm.py lint CHART    with values as JSON on standard input
python tests/support/helm.py render CHART  the same
"""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[2] / "deploy/helm/cutout"


class HelmRefusedError(Exception):
    """What Helm says about values or templates."""


def render(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the objects of a release, as `helm template` does. Raises HelmRefusedError."""
    return [
        found
        for name, text in _run("render", json.dumps(values)).items()
        if name.endswith(".yaml")
        for found in yaml.safe_load_all(text)
        if found
    ]


def lint(values: dict[str, Any]) -> dict[str, Any]:
    """Return what `helm lint --strict` finds."""
    return _run("lint", json.dumps(values))


def ci_values(name: str) -> dict[str, Any]:
    """Return `ci/NAME-values.yaml` of the chart."""
    return yaml.safe_load((CHART / f"ci/{name}-values.yaml").read_text())


@cache
def scaling_queries() -> list[str]:
    """Return the queries by which KEDA scales the chart's sets of workers."""
    return [
        trigger["metadata"]["query"]
        for found in render(ci_values("scaling"))
        if found["kind"] == "ScaledObject"
        for trigger in found["spec"]["triggers"]
    ]


def _run(verb: str, values: str) -> dict[str, Any]:
    answer = subprocess.run(
        [sys.executable, __file__, verb, str(CHART)],
        input=values, check=False, capture_output=True, text=True,
    )  # fmt: skip
    if answer.returncode:
        raise HelmRefusedError(answer.stderr)
    return json.loads(answer.stdout)


def main() -> None:
    import helm_python

    verb, folder = sys.argv[1:]
    values = json.load(sys.stdin)
    if verb == "lint":
        answer = helm_python.lint(folder, values, strict=True)
    else:
        with helm_python.Chart.load(folder) as chart:
            chart.validate_schema(values)
            answer = chart.render(values, name="shop", namespace="images")
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
