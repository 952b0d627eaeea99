"""deploy/prometheus and deploy/grafana: alerts fire when they should, all metrics are known."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from support.compose import compose
from support.services import missing

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/rules.yaml"
DASHBOARD = ROOT / "deploy/grafana/dashboard.json"


def promtool(*arguments: str) -> str:
    program = shutil.which("promtool") or missing("promtool (Debian's prometheus) is not installed")
    answer = subprocess.run(
        [program, *arguments], cwd=RULES.parent, check=False, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def rules() -> list[dict]:
    return yaml.safe_load(RULES.read_text())["groups"][0]["rules"]


def expressions() -> dict[str, str]:
    """Return the expressions of all alerts and panels by name."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return {
        **{rule["alert"]: rule["expr"] for rule in rules()},
        **{panel["title"]: panel["targets"][0]["expr"] for panel in panels},
    }


def test_the_rules_are_valid_and_fire_when_they_should() -> None:
    assert f"{len(rules())} rules found" in promtool("check", "rules", RULES.name)
    assert "SUCCESS" in promtool("test", "rules", "rules_test.yaml")


def test_the_scrape_configuration_is_valid_and_finds_every_service_with_metrics() -> None:
    assert "SUCCESS" in promtool("check", "config", "prometheus.yaml")
    scraped = {
        (name, config["port"])
        for job in yaml.safe_load((RULES.parent / "prometheus.yaml").read_text())["scrape_configs"]
        for config in job["dns_sd_configs"]
        for name in config["names"]
    }
    ports = {
        name: service["environment"].get("CUTOUT_METRICS_PORT")
        for name, service in compose().items()
    }
    assert scraped == {(name, int(port)) for name, port in ports.items() if port}


def test_every_alert_has_a_test_and_a_next_step() -> None:
    tested = (RULES.parent / "rules_test.yaml").read_text()
    for rule in rules():
        assert rule["alert"] in tested
        assert rule["annotations"]["next_step"]


@pytest.mark.parametrize(("name", "expression"), expressions().items(), ids=list(expressions()))
def test_only_metrics_that_are_exported_are_asked_for(name: str, expression: str) -> None:
    exported = set(re.findall(r"`(cutout_\w+)`", (ROOT / "docs/reference/metrics.md").read_text()))
    parts = r"_(bucket|sum|count)\b"  # of a histogram
    asked = {re.sub(parts, "", one) for one in re.findall(r"(?<!\")\bcutout_\w+", expression)}
    assert asked or "up{" in expression, name
    assert asked <= exported
