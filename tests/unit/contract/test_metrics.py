import re

from contract import metrics
from contract.metrics import METRICS, MetricSpec


def test_every_declared_metric_is_in_the_reference_once():
    declared = [value for value in vars(metrics).values() if isinstance(value, MetricSpec)]
    assert list(METRICS) == declared
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_names_and_labels_are_valid_in_prometheus():
    for metric in METRICS:
        assert re.fullmatch(r"cutout_[a-z_]+[a-z]", metric.name)
        assert all(re.fullmatch(r"[a-z_]+", label) for label in metric.labels)
        assert metric.help
        assert not metric.help.endswith(".")  # prometheus_client adds none either
