"""The drills' clusters, options and table."""

from pathlib import Path

import pytest
from support.cluster import Cluster
from support.cluster_fixtures import cluster, quick_cluster  # noqa: F401
from support.drill import Drill, table
from support.fixtures import clean_caches, ledger, shared_s3_model  # noqa: F401
from support.listing import proxy, small_bucket, small_pages  # noqa: F401

HEADING = """# What the drills measured

Written by `make drills`. Each row is a real cluster, harmed in one way; `cutout audit` then checks
its batch. *Measured* is, unless the unit says otherwise, the number of seconds until the image, the
batch or every worker is well again, and *bound* is the most that it may be. *Duplicated* counts
messages for an image that was already settled or being processed; they change no other count.

Nearly all drills run with timeouts of seconds: the visibility timeout, which is also the lease of a
claim, is 2 to 40 s. With the shipped settings recovery takes longer if it waits for one: images of
a vanished worker run again after `CUTOUT_VISIBILITY_TIMEOUT`, 300 s.
[promise.md](promise.md#what-happens-if-) says which events wait for it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--table", type=Path, help="write what the drills measured to this file")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    reports = terminalreporter.stats.get("passed", []) + terminalreporter.stats.get("failed", [])
    rows = sorted(
        (report.nodeid, row)
        for report in reports
        if report.when == "call"
        for name, row in report.user_properties
        if name == "drill"
    )
    if config.getoption("--full") and rows:
        terminalreporter.section("drills")
        terminalreporter.write(table(row for _, row in rows))
    if path := config.getoption("--table", None):
        path.write_text(f"{HEADING}\n\n{table(row for _, row in rows)}")


@pytest.fixture
def drill(
    quick_cluster: Cluster,  # noqa: F811
    catalogue: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    record_property,
) -> Drill:
    """A drill named after its test."""
    name = request.node.name.removeprefix("test_").replace("_", " ")
    full = request.config.getoption("--full")
    return Drill(name, full, quick_cluster, catalogue, tmp_path / "out", record_property)
