import re

import pytest
from support.paths import ROOT

from contract import metrics
from contract.metrics import LABELS, METRICS, MetricSpec


def declared() -> dict[str, MetricSpec]:
    return {name: one for name, one in vars(metrics).items() if isinstance(one, MetricSpec)}


def test_every_declared_metric_is_in_the_reference_once():
    assert list(METRICS) == list(declared().values())
    assert len({metric.name for metric in METRICS}) == len(METRICS)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_follows_the_conventions_of_prometheus(metric: MetricSpec):
    assert re.fullmatch(r"cutout_[a-z0-9_]+[a-z]", metric.name)
    assert metric.name.endswith("_total") is (
        metric.type == "counter" or metric is metrics.BATCH_TOTAL
    )
    assert metric.help
    assert not metric.help.endswith(".")  # prometheus_client adds none either
    assert bool(metric.buckets) is (metric.type == "histogram")
    assert list(metric.buckets) == sorted(metric.buckets)
    assert all(len(values) == len(metric.labels) for values in metric.initial)


def test_every_label_is_explained_and_used():
    used = {label for metric in METRICS for label in metric.labels}
    assert used == set(LABELS)


def test_every_metric_is_used_by_the_code():
    words = {
        word
        for folder in ("contract", "producer", "worker")
        for path in (ROOT / folder).rglob("*.py")
        if path != ROOT / "contract/metrics.py"
        for word in re.findall(r"\w+", path.read_text())
    }
    assert set(declared()) - words == set()
