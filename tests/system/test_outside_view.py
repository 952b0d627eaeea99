"""This tier knows the product as its users do: by commands, files, HTTP, Redis and S3."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.paths import ROOT

TESTS = ROOT / "tests"
PRODUCT = {"contract", "producer", "worker"}


def imports(path: Path) -> Iterator[str]:
    """Yield the full name of each module that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def reached(path: Path, seen: set[Path]) -> set[Path]:
    """Return a file and every file of the tests that it imports, directly or not."""
    seen.add(path)
    for name in imports(path):
        file = TESTS / f"{name.replace('.', '/')}.py"
        if file.exists() and file not in seen:
            reached(file, seen)
    return seen


@pytest.mark.parametrize(
    "path",
    [TESTS / "conftest.py", *sorted(Path(__file__).parent.glob("*.py"))],
    ids=lambda path: path.name,
)
def test_nothing_here_imports_the_product(path: Path) -> None:
    for file in reached(path, set()):
        roots = {name.partition(".")[0] for name in imports(file)}
        assert not roots & PRODUCT, file.relative_to(TESTS)


def test_an_import_of_the_product_would_be_seen() -> None:
    through_support = reached(TESTS / "drills" / "conftest.py", set())
    assert TESTS / "support" / "cluster.py" in through_support
    assert any(name.startswith("contract.") for file in through_support for name in imports(file))
