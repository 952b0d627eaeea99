"""`cutout doctor` beside real servers: each seeded fault is found, and its correction named."""

import json
import os
import resource
import socket
import subprocess
import sys
from math import inf
from pathlib import Path

import boto3
import pytest
from support.catalogue import photograph
from support.receivers import answer, receiving
from support.services import RedisServer, S3Server, free_port

from contract import names
from contract.cutout import CutoutSpec
from contract.job import ManifestLine
from contract.ledger import workers as registry
from contract.ledger.records import Worker
from contract.ledger.redis_ledger import RedisLedger
from contract.recipe import PIPELINE, Recipe
from contract.settings import Settings
from producer.batches.register import register
from producer.dispatch import missing_workers
from producer.dispatch.cutouts import cutout_spec
from producer.doctor import cluster, storage
from producer.doctor.examination import examine_all
from producer.doctor.finding import Finding, Level
from producer.doctor.machine import MachineChecks


@pytest.fixture
def healthy(redis_server: RedisServer, ledger: RedisLedger, tmp_path: Path) -> dict[str, object]:
    """Settings of a cluster with a dispatcher, in which nothing is wrong."""
    ledger.acquire_lease("a dispatcher", 300)
    return {
        "redis_url": redis_server.url, "state_dir": tmp_path / "state", "flower_port": free_port(),
        "web_port": free_port(),
    }  # fmt: skip


@pytest.fixture(autouse=True)
def no_weights(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what starts an interpreter, except in the test of it."""
    if "weights" not in request.node.name:
        monkeypatch.setattr(MachineChecks, "weights", lambda _: iter(()))


@pytest.fixture(autouse=True)
def any_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the speed of the machine of the test out of what is wrong."""
    monkeypatch.setattr(cluster, "SLOW_REPLY_SECONDS", inf)
    monkeypatch.setattr(storage, "SLOW_SECONDS", inf)


@pytest.fixture
def locations(tmp_path: Path) -> tuple[str, str]:
    photograph(tmp_path / "in" / "a.jpg")
    return str(tmp_path / "in"), str(tmp_path / "out")


def wrong(config: dict, locations: tuple[str, str] | None = None) -> list[Finding]:
    """Return what is wrong, but for the memory and the open files of the machine of the test."""
    return [
        finding
        for finding in examine_all(Settings(**config), locations)
        if finding.level is not Level.OK and finding.check != "limits"
    ]


def only(config: dict, locations: tuple[str, str] | None = None) -> Finding:
    """Return the one thing that is wrong. It has a next step."""
    [finding] = wrong(config, locations)
    assert finding.next_step
    return finding


def configure(ledger: RedisLedger, **options: object) -> None:
    for name, value in options.items():
        ledger.connection.client.config_set(name.replace("_", "-"), value)


def test_in_a_healthy_cluster_nothing_is_wrong(healthy, locations) -> None:
    assert wrong(healthy, locations) == []
    assert not [path for path in Path(locations[1]).rglob("*") if path.is_file()]


def test_no_redis_is_set(healthy) -> None:
    finding = only(healthy | {"redis_url": None})
    assert "CUTOUT_REDIS_URL is not set" in finding.message


def test_redis_does_not_answer(healthy) -> None:
    finding = only(healthy | {"redis_url": f"redis://:secret@127.0.0.1:{free_port()}"})
    assert (finding.check, finding.level) == ("redis", Level.ERROR)
    assert "redis_unavailable" in finding.message
    assert "secret" not in finding.message


def test_redis_refuses_the_password(healthy, ledger) -> None:
    configure(ledger, requirepass="the right one")
    assert (finding := only(healthy)).level is Level.ERROR
    assert finding.message.startswith("redis_")


def test_redis_evicts(healthy, ledger) -> None:
    configure(ledger, maxmemory_policy="allkeys-lru")
    assert "allkeys-lru" in only(healthy).message


def test_redis_keeps_no_file(healthy, ledger) -> None:
    configure(ledger, appendonly="no")
    assert "redis_persistence" in only(healthy).message


def test_redis_is_nearly_full(healthy, ledger) -> None:
    used = int(ledger.connection.client.info("memory")["used_memory"])
    configure(ledger, maxmemory=int(used * 1.3))
    assert "of its maxmemory" in only(healthy).message


def test_redis_allows_few_connections(healthy, ledger) -> None:
    configure(ledger, maxclients=1)
    assert "redis_maxclients" in only(healthy).message


def test_a_server_with_a_known_fault_is_named(healthy, monkeypatch) -> None:
    monkeypatch.setattr("producer.doctor.cluster.is_fixed", lambda _: False)
    assert "CVE-2025-49844" in only(healthy).message


def test_the_clock_is_wrong(healthy, monkeypatch) -> None:
    monkeypatch.setattr(registry.WorkerRegistry, "clock_skew", lambda _: 61.0)
    assert "61 s ahead" in only(healthy).message


def test_the_fleet_has_other_settings(healthy, ledger) -> None:
    ledger.workers.share_settings({"time_limit": "60", "visibility_timeout": "300"})
    finding = only(healthy)
    assert "CUTOUT_TIME_LIMIT is 120 here, but 60" in finding.message


def test_settings_agree_with_those_of_running_processes_if_there_are_any(healthy, ledger) -> None:
    def about_settings() -> str:
        config = Settings(**healthy)
        (message,) = (f.message for f in examine_all(config, None) if f.check == "settings")
        return message

    assert about_settings() == "agree with the running processes"
    ledger.release_lease("a dispatcher")
    assert "no worker and no dispatcher is running" in about_settings()
    assert ledger.workers.shared_settings() == {}  # else it would bind what starts next
    queue = names.bulk_queue("u2netp", PIPELINE)
    ledger.workers.register(Worker("w", queue, children=2, clock_skew=0))
    assert about_settings() == "agree with the running processes"


def test_a_batch_waits_for_workers_and_a_dispatcher(
    healthy, ledger, locations, monkeypatch
) -> None:
    monkeypatch.setattr(missing_workers, "WORKER_START_SECONDS", -1)
    spec = register(ledger, *locations, Recipe(model="u2netp"))
    finding = only(healthy)
    assert "No worker serves u2netp" in finding.message
    assert "cutout worker" in finding.next_step
    ledger.batches.pause(spec.id, "why")
    assert wrong(healthy) == []

    ledger.release_lease("a dispatcher")
    queue = names.bulk_queue("u2netp", PIPELINE)
    ledger.workers.register(Worker("w", queue, children=2, clock_skew=0))
    finding = only(healthy)
    assert (finding.level, finding.next_step) == (Level.ERROR, "Start `cutout dispatch`.")


def test_a_cutout_is_served_by_an_interactive_worker(healthy, ledger, monkeypatch) -> None:
    monkeypatch.setattr(missing_workers, "WORKER_START_SECONDS", -1)
    photograph_line = ManifestLine(key="a.jpg", size=1, etag="1")
    cutout = CutoutSpec(photograph=photograph_line, destination_key="a.png")
    cutout_id = "c-20260101-000000-abcdefabcdef"
    ledger.cutouts.register(
        cutout_spec(cutout_id, "s3://in", "s3://out", Recipe(model="u2netp"), cutout)
    )
    assert "No worker serves u2netp" in only(healthy).message
    queue = names.interactive_queue("u2netp", PIPELINE)
    ledger.workers.register(Worker("w", queue, children=1, clock_skew=0))
    assert wrong(healthy) == []


def test_a_worker_is_out_of_rotation(healthy, ledger) -> None:
    queue = names.bulk_queue("u2netp", PIPELINE)
    ledger.workers.register(Worker("bad", queue, 2, 0, out_of_rotation="access_denied"))
    assert only(healthy).message.startswith("bad takes no images")


def test_a_variable_is_no_setting(healthy, monkeypatch) -> None:
    monkeypatch.setenv("CUTOUT_TIMELIMIT", "60")
    assert "CUTOUT_TIME_LIMIT" in only(healthy).message


def test_traces_cannot_be_sent(healthy, monkeypatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    assert wrong(healthy) == []
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    assert (only(healthy).check, only(healthy).level) == ("traces", Level.ERROR)


def test_a_folder_cannot_be_made(healthy, tmp_path) -> None:
    (tmp_path / "file").touch()
    finding = only(healthy | {"state_dir": tmp_path / "file" / "state"})
    assert finding.level is Level.ERROR
    assert "CUTOUT_STATE_DIR" in finding.next_step


@pytest.mark.slow
def test_weights_are_missing_or_spoiled(healthy, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("CUTOUT_MODEL_DIR", str(tmp_path))  # for the process that verifies
    config = Settings(**healthy | {"model_dir": tmp_path})

    def about_weights() -> list[Finding]:
        return [one for one in examine_all(config, None) if one.check == "weights"]

    assert "cutout models pull u2netp" in about_weights()[0].next_step
    (tmp_path / "u2netp.onnx").write_bytes(b"spoiled")
    assert [one.level for one in about_weights()] == [Level.ERROR]


@pytest.mark.slow
def test_a_provider_is_missing(healthy, monkeypatch) -> None:
    monkeypatch.setenv("CUTOUT_PROVIDERS", "cuda,cpu")  # for the process that loads the model
    monkeypatch.setattr(MachineChecks, "weights", lambda _: iter(()))
    finding = only(healthy | {"providers": "cuda,cpu"})
    assert (finding.check, finding.level) == ("providers", Level.ERROR)
    assert "provider_missing" in finding.message
    assert "CUTOUT_PROVIDERS=cpu" in finding.next_step


def test_a_provider_that_crashes_is_found(healthy, monkeypatch) -> None:
    crashed = subprocess.CompletedProcess([], -11, "", "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: crashed)
    assert only(healthy | {"providers": "openvino"}).check == "providers"


def test_few_files_may_be_open(healthy) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (500, hard))
    try:
        found = list(examine_all(Settings(**healthy), None))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert any("only 500 files" in finding.message for finding in found)


def test_there_is_little_memory(healthy, monkeypatch) -> None:
    monkeypatch.setattr("producer.doctor.machine.available_memory", lambda: 500_000_000)
    found = [one for one in examine_all(Settings(**healthy), None) if one.check == "limits"]
    assert any("0.5 GB of memory" in one.message and "INT8" in one.next_step for one in found)


@pytest.mark.parametrize("server", ["web", "flower", "metrics"])
def test_a_port_is_taken(healthy, server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        finding = only(healthy | {f"{server}_port": taken.getsockname()[1]})
    assert f"CUTOUT_{server.upper()}_PORT" in finding.next_step


@pytest.mark.parametrize("server", ["web", "flower", "metrics"])
def test_a_port_of_a_running_process_is_no_finding(healthy, server) -> None:
    with receiving(answer(200)) as running:
        assert wrong(healthy | {f"{server}_port": running.port}) == []


def test_the_server_would_be_open_to_all(healthy, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(MachineChecks, "ports", lambda _: iter(()))
    config = healthy | {"web_store": str(tmp_path / "store"), "web_address": "192.0.2.1"}
    assert "CUTOUT_API_KEYS" in only(config).message


def test_the_file_of_api_keys_is_missing(healthy, tmp_path) -> None:
    config = healthy | {"web_store": str(tmp_path / "store"), "api_keys": tmp_path / "none"}
    assert only(config).check == "web"


@pytest.mark.slow
def test_a_bucket_is_missing_and_a_source_is_empty(
    healthy, s3: S3Server, bucket: str, locations
) -> None:
    source, _ = locations
    finding = only(healthy, (source, "s3://no-such-bucket/out"))
    assert (finding.check, finding.level) == ("destination", Level.ERROR)
    finding = only(healthy, (f"s3://{bucket}/in", f"s3://{bucket}/out"))
    assert (finding.check, finding.level) == ("source", Level.WARNING)
    boto3.session.Session().client("s3").put_object(Bucket=bucket, Key="in/a.jpg", Body=b"x")
    assert wrong(healthy, (f"s3://{bucket}/in", f"s3://{bucket}/out")) == []


@pytest.mark.slow
def test_the_storage_does_not_answer(healthy, locations, monkeypatch) -> None:
    server = S3Server(f"http://127.0.0.1:{free_port()}")
    server.select(monkeypatch)
    finding = only(healthy, (locations[0], "s3://bucket/out"))
    assert (finding.check, finding.level) == ("destination", Level.ERROR)
    assert "storage_unavailable" in finding.message


def test_a_slow_redis_and_slow_storage_are_found(healthy, locations, monkeypatch) -> None:
    monkeypatch.setattr(cluster, "SLOW_REPLY_SECONDS", 0)
    assert "to answer" in only(healthy).message
    monkeypatch.setattr(cluster, "SLOW_REPLY_SECONDS", inf)
    monkeypatch.setattr(storage, "SLOW_SECONDS", 0)
    assert "Writing takes" in only(healthy, locations).message


@pytest.mark.slow
def test_the_verb_prints_json_and_its_status_says_that_something_is_wrong() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "producer", "doctor", "--json"],
        check=False, capture_output=True, text=True,
        env={**os.environ, "CUTOUT_REDIS_URL": "redis://127.0.0.1:1"},
    )  # fmt: skip
    found = json.loads(answer.stdout)
    assert answer.returncode == 1
    assert any("redis_unavailable" in finding["message"] for finding in found)
    assert {finding["level"] for finding in found} <= set(Level)
