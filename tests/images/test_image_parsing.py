"""How the images' builder and sandbox read Dockerfiles and the compose file."""

from pathlib import Path

import pytest
from image_build import copy, expanded
from image_sandbox import volume
from support.compose import DOCKERFILES, compose, example, interpolate, stages


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_a_dockerfile_has_a_stage_that_builds_and_one_that_runs(dockerfile):
    build, final = stages(dockerfile)
    assert (build.name, final.name) == ("build", "")
    assert build.last("WORKDIR") == "/src"
    assert ("COPY", "--from=build /opt/cutout /opt/cutout") in final.steps
    assert final.environment["PYTHONUNBUFFERED"] == "1"


def test_a_continued_line_is_one_instruction():
    _, final = stages(DOCKERFILES[1])
    assert final.last("RUN").split("&&")[-1].split()[0] == "install"


def test_variables_of_an_image_are_expanded():
    assert expanded({"PATH": "/a:$PATH"}, {"PATH": "/b"}) == {"PATH": "/a:/b"}


@pytest.mark.parametrize(
    ("text", "value"),
    [("${A}", "1"), ("${A:?say so}", "1"), ("${B:-2}", "2"), ("${B:-}", ""), ("x ${A}", "x 1")],
)
def test_variables_of_the_compose_file_are_replaced(text, value):
    assert interpolate([{"key": text}], {"A": "1"}) == [{"key": value}]


def test_every_variable_of_the_compose_file_has_a_value():
    assert "${" not in str(compose())
    assert compose()["redis"]["environment"]["REDISCLI_AUTH"] == example()["REDIS_PASSWORD"]


@pytest.mark.parametrize(
    ("entry", "parts"),
    [
        ("/tmp", ("", "/tmp", "rw")),  # noqa: S108 - a container's
        ("keys:/keys", ("keys", "/keys", "rw")),
        ("models:/models:ro", ("models", "/models", "ro")),
    ],
)
def test_an_entry_of_volumes_is_read(entry, parts):
    assert volume(entry) == parts


def test_copies_land_as_an_engine_puts_them(tmp_path):
    root, build = tmp_path / "root", tmp_path / "build"
    (build / "opt/app/bin").mkdir(parents=True)
    (build / "opt/app/bin/tool").write_text("x")
    copy(["--from=build", "/opt/app", "/opt/other"], root, Path("/"), {"build": build})
    assert (root / "opt/other/bin/tool").read_text() == "x"
    copy(["pyproject.toml", "LICENSE", "./"], root, Path("/src"), {})
    copy(["deploy/requirements/worker.in", "lists/worker.in"], root, Path("/src"), {})
    copy(["contract", "contract"], root, Path("/src"), {})
    assert (root / "src/LICENSE").exists()
    assert (root / "src/lists/worker.in").exists()
    assert (root / "src/contract/settings.py").exists()
    assert not list(root.rglob("__pycache__"))
