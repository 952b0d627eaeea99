import subprocess
import sys

import pytest

from contract.unknown_settings import FIELDS, unknown_settings


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("CUTOUT_VISIBLITY_TIMEOUT", "CUTOUT_VISIBILITY_TIMEOUT"),
        ("CUTOUT_URL_ALLOW", "CUTOUT_URL_ALLOWLIST"),
        ("CUTOUT_REDIS_URI", "CUTOUT_REDIS_URL"),
    ],
)
def test_an_unknown_variable_is_named_with_the_nearest_setting(name: str, nearest: str):
    [sentence] = unknown_settings({name: "hunter2", "PATH": "/bin", "AWS_REGION": "x"})
    assert sentence.startswith("invalid_setting: ")
    assert name in sentence
    assert nearest in sentence
    assert "hunter2" not in sentence


def test_a_variable_unlike_any_setting_is_named_without_one():
    [sentence] = unknown_settings({"CUTOUT_ZZZZ": "1"})
    assert "nearest" not in sentence


def test_known_variables_and_those_of_kubernetes_are_not_named():
    links = (
        "CUTOUT_WEB_SERVICE_HOST", "CUTOUT_WEB_SERVICE_PORT", "CUTOUT_WEB_SERVICE_PORT_HTTP",
        "CUTOUT_REDIS_PORT", "CUTOUT_REDIS_PORT_6379_TCP", "CUTOUT_REDIS_PORT_6379_TCP_ADDR",
    )  # fmt: skip
    assert (
        unknown_settings(dict.fromkeys((*(f"CUTOUT_{field}" for field in FIELDS), *links), "x"))
        == []
    )


@pytest.mark.slow
@pytest.mark.parametrize("command", [("producer", "run"), ("worker", "health")])
def test_a_command_names_it_once_on_standard_error(command: tuple[str, str], monkeypatch):
    monkeypatch.setenv("CUTOUT_WINDOWS", "7")
    answer = subprocess.run(
        [sys.executable, "-m", *command], check=False, capture_output=True, text=True
    )
    assert answer.stderr.count("CUTOUT_WINDOWS is set, but is no setting") == 1
    assert "CUTOUT_WINDOW." in answer.stderr
