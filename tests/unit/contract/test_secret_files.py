import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from contract.errors import ErrorCode, PermanentError
from contract.secret_files import MAX_BYTES, secrets_in_files
from contract.settings import SECRETS, settings
from contract.unknown_settings import unknown_settings

NAMES = ("CUTOUT_REDIS_URL",)
URL = "redis://:hunter2@redis.example"


def refusal(environment: dict[str, str]) -> str:
    with pytest.raises(PermanentError) as caught:
        secrets_in_files(environment, NAMES)
    assert caught.value.code is ErrorCode.INVALID_SETTING
    return str(caught.value)


def test_the_content_of_a_file_is_the_value_without_its_line_break(tmp_path: Path):
    (tmp_path / "url").write_text(f"{URL}\n")
    assert secrets_in_files({"CUTOUT_REDIS_URL_FILE": str(tmp_path / "url")}, NAMES) == {
        "CUTOUT_REDIS_URL": URL
    }
    assert secrets_in_files({"CUTOUT_REDIS_URL_FILE": ""}, NAMES) == {}


def test_a_value_given_twice_is_refused(tmp_path: Path):
    (tmp_path / "url").write_text(URL)
    both = {"CUTOUT_REDIS_URL": URL, "CUTOUT_REDIS_URL_FILE": str(tmp_path / "url")}
    assert "CUTOUT_REDIS_URL and CUTOUT_REDIS_URL_FILE are both set" in refusal(both)
    assert "hunter2" not in refusal(both)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"x" * (MAX_BYTES + 1), None], ids=["binary", "long", "missing"]
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None):
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    text = refusal({"CUTOUT_REDIS_URL_FILE": str(path)})
    assert "CUTOUT_REDIS_URL_FILE" in text
    assert str(path) in text


def test_every_secret_setting_can_lie_in_a_file(tmp_path: Path, monkeypatch):
    assert set(SECRETS) == {
        "redis_url", "sentinel_password", "model_source", "webhook_secret", "flower_users",
    }  # fmt: skip
    values = {"redis_url": URL, "webhook_secret": "whsec_" + "MDEy" * 8}
    for name, value in values.items():
        (tmp_path / name).write_text(value)
        monkeypatch.setenv(f"CUTOUT_{name.upper()}_FILE", str(tmp_path / name))
    settings.cache_clear()
    assert settings().redis_url == URL
    assert settings().webhook_secret == (values["webhook_secret"],)
    assert unknown_settings(os.environ) == []


@pytest.mark.slow
def test_the_verb_shows_every_setting_and_no_secret(tmp_path: Path):
    (tmp_path / "url").write_text(URL)
    given = {"CUTOUT_REDIS_URL_FILE": str(tmp_path / "url"), "CUTOUT_WINDOW": "9"}
    shown = {}
    for words in (("--json",), ()):
        answer = subprocess.run(
            [sys.executable, "-m", "producer", "config", *words],
            check=True, capture_output=True, text=True, env={**os.environ, **given},
        )  # fmt: skip
        assert "hunter2" not in answer.stdout + answer.stderr
        shown[words] = answer.stdout
    rows = {row["variable"]: row for row in json.loads(shown["--json",])}
    assert rows["CUTOUT_REDIS_URL"]["from"] == "file"
    assert (rows["CUTOUT_WINDOW"]["value"], rows["CUTOUT_WINDOW"]["from"]) == (9, "environment")
    assert rows["CUTOUT_MAX_PIXELS"]["from"] == "default"
    assert all(variable in shown[()] for variable in rows)
