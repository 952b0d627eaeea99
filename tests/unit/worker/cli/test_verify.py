"""`cutout verify`: which files it checks, what it prints, and its exit status."""

import csv
import json
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from contract.errors import ErrorCode, PermanentError
from contract.presets import PRESETS
from worker.cli.main import app
from worker.cli.verify import _split


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A white JPEG that passes `white`, one with an impure pixel, a broken one, and others."""
    picture = Image.new("RGB", (64, 64), "white")
    picture.paste((200, 30, 40), (24, 24, 40, 40))
    out = tmp_path / "out"
    (out / "b").mkdir(parents=True)
    picture.save(out / "a.jpg", quality=92, subsampling="4:4:4")
    picture.paste((254, 254, 254), (0, 0, 8, 8))
    picture.save(out / "b" / "impure.jpg", quality=95, subsampling="4:4:4")
    (out / "b" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (out / "notes.txt").write_text("no image")
    (out / "_cutout").mkdir()
    picture.save(out / "_cutout" / "c.jpg")
    return out


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["verify", *map(str, arguments)])


def test_a_file_that_passes_is_shown_with_its_figures(folder: Path):
    result = run("--preset", "white", folder / "a.jpg")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"pass  {folder}/a.jpg  format JPEG, channels RGB")
    assert "background #ffffff" in result.stdout
    assert "1 checked: 1 pass, 0 fail." in result.stdout


def test_a_folder_is_checked_file_by_file(folder: Path):
    result = run("-p", "white", folder)
    assert result.exit_code == 1
    first, second, third, summary = result.stdout.splitlines()
    assert first.startswith(f"pass  {folder}/a.jpg")
    assert second.startswith(f"FAIL  {folder}/b/broken.jpg  corrupt_image: ")
    assert third.startswith(f"FAIL  {folder}/b/impure.jpg  background ")
    assert "required: #ffffff" in third
    assert summary == "3 checked: 1 pass, 2 fail."


def test_several_locations_as_json(folder: Path):
    result = run("-p", "white", "--format", "json", folder / "a.jpg", folder / "b")
    assert result.exit_code == 1
    passed, broken, impure = map(json.loads, result.stdout.splitlines())
    assert passed["passed"]
    assert {"check": "background", "passed": True, "figure": "#ffffff", "required": "#ffffff"} in (
        passed["checks"]
    )
    assert (broken["passed"], broken["code"], broken["checks"]) == (False, "corrupt_image", [])
    assert [check["check"] for check in impure["checks"] if not check["passed"]] == ["background"]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_check_can_be_written_as_json(folder: Path, preset: str):
    result = run("-p", preset, "--format", "json", folder / "a.jpg")
    checks = json.loads(result.stdout)["checks"]
    assert [check["check"] for check in checks] == [
        requirement.check for requirement in PRESETS[preset].requirements
    ]


def test_csv_has_a_row_per_check(folder: Path):
    rows = [*csv.DictReader(run("-p", "white", "--format", "csv", folder).stdout.splitlines())]
    assert {row["file"] for row in rows} == {
        f"{folder}/{name}" for name in ("a.jpg", "b/broken.jpg", "b/impure.jpg")
    }
    failed = [(row["file"], row["check"]) for row in rows if row["passed"] == "false"]
    assert failed == [
        (f"{folder}/b/broken.jpg", ""),
        (f"{folder}/b/impure.jpg", "background"),
    ]


def test_no_name_is_a_formula_in_csv(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder)
    (folder / "a.jpg").rename("=1+1.jpg")
    rows = run("-p", "white", "--format", "csv", "=1+1.jpg").stdout.splitlines()
    assert {row.partition(",")[0] for row in rows} == {"file", "'=1+1.jpg"}


def test_an_unknown_preset_is_wrong_usage(folder: Path):
    result = run("-p", "whyte", folder)
    assert result.exit_code == 2
    assert "whyte" in result.stderr


def test_nothing_to_check_is_an_error(tmp_path: Path):
    result = run("-p", "white", tmp_path)
    assert isinstance(result.exception, PermanentError)
    assert result.exception.code is ErrorCode.NOTHING_TO_DO


@pytest.mark.parametrize(
    ("location", "folder", "key"),
    [
        ("s3://b", "s3://b", ""),
        ("s3://b.jpg", "s3://b.jpg", ""),
        ("s3://b/out/", "s3://b/out", ""),
        ("s3://b/out", "s3://b/out", ""),
        ("s3://b/a.jpg", "s3://b", "a.jpg"),
        ("s3://b/out/a.PNG", "s3://b/out", "a.PNG"),
    ],
)
def test_an_s3_location_with_an_images_extension_is_a_file(location: str, folder: str, key: str):
    assert _split(location) == (folder, key)
