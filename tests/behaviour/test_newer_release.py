"""A batch of a newer release, beside one of this: each entry point serves all others."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs
from support.cluster import Cluster
from support.newer import LEFT_ALONE, newer, two_photographs
from support.services import RedisServer, until
from typer.testing import CliRunner, Result

from contract import names
from contract.batch import BatchSpec
from contract.errors import CutoutError, ErrorCode
from contract.ledger import unreadable
from contract.ledger.redis_ledger import RedisLedger
from contract.outcome import Outcome, Status
from contract.recipe import Recipe
from contract.settings import Settings, settings
from contract.storage import canonical_location
from producer.batches import preview
from producer.batches.locations import resolve
from producer.batches.register import find_unfinished, register
from producer.callbacks.schedule import CallbackSchedule
from producer.cli import main
from producer.dispatch.dispatcher import Dispatcher
from producer.doctor.cluster import ClusterChecks
from producer.doctor.finding import Level, findings
from producer.monitoring.metrics import ClusterMetrics
from producer.web.app import create_app
from producer.web.batches import listings
from producer.web.context import Context

RECIPE = Recipe(model="u2netp")
NEWER = "b-20260101-000000-ffffff"


@pytest.fixture(autouse=True)
def environment(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUTOUT_REDIS_URL", redis_server.url)
    monkeypatch.setattr(unreadable, "_logged", set())
    settings.cache_clear()


@pytest.fixture
def folders(tmp_path: Path) -> tuple[str, str]:
    return two_photographs(tmp_path)


@pytest.fixture
def ours(ledger: RedisLedger, folders: tuple[str, str]) -> BatchSpec:
    """An open batch of this release, and one of a newer release beside it."""
    spec = register(ledger, *folders, RECIPE)
    theirs = newer(spec.model_copy(update={"id": NEWER, "created": time.time()}))
    ledger.batches.register(theirs)
    ledger.batches.open(NEWER)
    return spec


@pytest.fixture
def send(ledger: RedisLedger, tmp_path: Path) -> Callable[[str, str], httpx.Response]:
    """Send a request to the API, without its threads."""
    context = Context(Settings(), ledger, None, canonical_location(str(tmp_path / "store")), ())
    transport = httpx.ASGITransport(create_app(context), raise_app_exceptions=False)

    async def answer(method: str, path: str) -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path)

    return lambda method, path: asyncio.run(answer(method, path))


def cutout(*arguments: str) -> Result:
    return CliRunner().invoke(main.app, arguments)


def stored(ledger: RedisLedger) -> dict[str, object]:
    """Return all that Redis holds of the newer batch, but for why it makes no progress."""
    redis = ledger.connection.client
    keys = [key for key in redis.scan_iter() if NEWER in key]
    rest = {key: (redis.dump(key), redis.ttl(key)) for key in keys if key != names.redis_key(NEWER)}
    row = redis.hgetall(names.redis_key(NEWER))
    row.pop("stalled_reason", None)
    return {**rest, "row": row, "ttl": redis.ttl(names.redis_key(NEWER))}


def finish(ledger: RedisLedger, spec: BatchSpec) -> None:
    for line in range(spec.total):
        ledger.lines.finish(spec.id, Outcome(line=line, key="a.jpg", status=Status.DONE))


# lists leave it out


def test_status_names_it_and_shows_the_others(ours: BatchSpec) -> None:
    shown = cutout("status", "--json")
    assert shown.exit_code == 0
    assert [row["batch"] for row in json.loads(shown.stdout)] == [ours.id]
    assert NEWER in shown.stderr
    assert "newer release" in shown.stderr
    assert ours.id in cutout("status").stdout


def test_the_api_names_it_and_lists_the_others(ours: BatchSpec, send) -> None:
    answer = send("GET", "/v1/batches")
    assert answer.status_code == 200
    body = answer.json()
    assert [row["id"] for row in body["batches"]] == [ours.id]
    assert NEWER in body["notice"]


def test_the_api_has_no_notice_without_it(ledger, folders, send) -> None:
    register(ledger, *folders, RECIPE)
    assert send("GET", "/v1/batches").json()["notice"] == ""


def test_the_doctor_names_it(ours: BatchSpec) -> None:
    checks = ClusterChecks(Settings())
    list(checks.redis())
    found = list(findings({"processes": checks.processes}))
    [finding] = [one for one in found if NEWER in one.message]
    assert finding.level is Level.WARNING
    assert "newer" in finding.next_step
    assert any("open batches: 1" in one.message for one in found)


def test_metrics_are_those_of_the_others(ours: BatchSpec, redis_server: RedisServer) -> None:
    collector = ClusterMetrics(Settings().require_redis_address())
    with capture_logs() as logged:
        for _ in range(2):
            families = {one.name: one for one in collector.collect()}
    totals = families["cutout_batch_total"].samples
    assert [sample.labels["batch"] for sample in totals] == [ours.id]
    assert [(line["event"], line["batch"]) for line in logged] == [(LEFT_ALONE, NEWER)]


def test_a_preview_measures_the_others(ledger: RedisLedger, ours: BatchSpec) -> None:
    assert preview.fleet(ledger, "u2netp") == preview.Fleet(0, None)


def test_run_finds_its_unfinished_batch(ledger: RedisLedger, ours: BatchSpec, folders) -> None:
    assert find_unfinished(ledger, resolve(*folders), RECIPE, force=False) == ours


def test_submit_lists_beside_it(ledger: RedisLedger, ours: BatchSpec, folders) -> None:
    listed = newer(ours.model_copy(update={"id": f"{NEWER[:-1]}e", "total": 0}))
    ledger.listings.begin(listed)
    assert register(ledger, *folders, RECIPE).total == ours.total


def test_the_server_goes_on_listing_sources(ledger: RedisLedger, ours: BatchSpec) -> None:
    update = {"id": f"{NEWER[:-1]}e", "total": 0, "background": True}
    theirs = newer(ours.model_copy(update=update))
    mine = ours.model_copy(update=update | {"id": f"{NEWER[:-1]}d"})
    for spec in (theirs, mine):
        ledger.listings.begin(spec)
    stop = threading.Event()
    thread = threading.Thread(target=listings.run, args=(ledger, stop))
    thread.start()
    try:
        until(lambda: ledger.batches.progress(mine.id).state == "open")
        assert thread.is_alive()
    finally:
        stop.set()
        thread.join()
    assert ledger.listings.ids() == [theirs.id]


# what asks for that very batch


@pytest.mark.parametrize(
    "verb",
    ["status", "watch", "pause", "resume", "cancel", "retry", "report", "schedule", "render"],
)
def test_a_verb_that_names_it_says_why_it_cannot(
    ledger: RedisLedger, ours: BatchSpec, verb: str
) -> None:
    before = stored(ledger)
    more = ["--recipe", "amazon-main"] if verb == "render" else []
    failed = cutout(verb, NEWER, *more).exception
    assert isinstance(failed, CutoutError)
    assert failed.code is ErrorCode.NEWER_RELEASE
    assert f"Batch {NEWER}" in failed.message
    assert "glow" in failed.message
    assert stored(ledger) == before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""), ("POST", "/pause"), ("POST", "/resume"), ("POST", "/cancel"),
        ("POST", "/retry"), ("GET", "/failures"), ("GET", "/report"), ("GET", "/photographs/0"),
    ],
)  # fmt: skip
def test_a_request_that_names_it_may_be_sent_again(
    ledger: RedisLedger, ours: BatchSpec, send, method: str, path: str
) -> None:
    before = stored(ledger)
    answer = send(method, f"/v1/batches/{NEWER}{path}")
    assert (answer.status_code, answer.json()["code"]) == (503, "newer_release")
    assert int(answer.headers["retry-after"]) > 0
    assert stored(ledger) == before


# the dispatcher


@pytest.fixture
def dispatcher(ledger: RedisLedger) -> Dispatcher:
    running = Dispatcher(ledger, CallbackSchedule(ledger.connection), settings())
    yield running
    running.stop()


@pytest.mark.parametrize("state", ["open", "paused", "cancelling", "settled", "new state"])
def test_the_dispatcher_leaves_it_as_it_is(
    ledger: RedisLedger, ours: BatchSpec, dispatcher: Dispatcher, state: str
) -> None:
    if state == "settled":
        finish(ledger, ours.model_copy(update={"id": NEWER}))
    elif state != "open":
        ledger.connection.client.hset(names.redis_key(NEWER), "state", state)
    before = stored(ledger)
    finish(ledger, ours)
    with capture_logs() as logged:
        for _ in range(5):
            dispatcher.tick()
            dispatcher._closer.wait()
            dispatcher._backing_off.clear()  # as if 10 seconds had passed
    assert ledger.batches.progress(ours.id).state == "closed"
    assert stored(ledger) == before
    assert [line["event"] for line in logged].count(LEFT_ALONE) == 1
    assert {line["event"] for line in logged} == {LEFT_ALONE, "batch closed"}


def test_a_dispatcher_of_the_newer_release_takes_it_on(
    ledger: RedisLedger, ours: BatchSpec, dispatcher: Dispatcher
) -> None:
    finish(ledger, ours.model_copy(update={"id": NEWER}))
    dispatcher.tick()
    redis, key = ledger.connection.client, names.redis_key(NEWER)
    assert "older release" in redis.hget(key, "stalled_reason")
    # that release knows the field
    redis.hset(key, "spec", ours.model_copy(update={"id": NEWER}).model_dump_json())
    successor = Dispatcher(ledger, CallbackSchedule(ledger.connection), settings())
    successor.tick()
    successor._closer.wait()
    successor.stop()
    progress = ledger.batches.progress(NEWER)
    assert (progress.state, progress.done, progress.stalled_reason) == ("closed", 2, "")


def test_batches_that_cannot_be_read_cost_an_idle_dispatcher_nothing(
    ledger: RedisLedger, ours: BatchSpec, dispatcher: Dispatcher, monkeypatch
) -> None:
    dispatcher.tick()
    read: list[str] = []
    monkeypatch.setattr(ledger.batches, "progress", read.append)
    dispatcher.tick()
    assert read == []
    ledger.batches.forget(NEWER)
    dispatcher.tick()
    assert NEWER not in dispatcher._backing_off


AS_NEWER = """
from contract.batch import BatchSpec
BatchSpec.model_config["extra"] = "ignore"
BatchSpec.model_rebuild(force=True)
from producer.cli.main import main
main()
"""
"""A program that is the command line, and knows every field of a batch."""


@pytest.mark.slow
def test_dispatcher_processes_of_two_releases_finish_what_each_can_read(
    ledger: RedisLedger, ours: BatchSpec, redis_server: RedisServer, tmp_path: Path
) -> None:
    finish(ledger, ours.model_copy(update={"id": NEWER}))
    before = stored(ledger)
    redis, key = ledger.connection.client, names.redis_key(NEWER)
    cluster = Cluster(redis_server, tmp_path)
    cluster.start_dispatcher()
    try:
        until(lambda: ledger.workers.queue_length(names.bulk_queue("u2netp")) == ours.total)
        cluster.start_python("newer", "-c", AS_NEWER, "dispatch")
        until(lambda: "standing by" in cluster.log("newer"))
        finish(ledger, ours)
        until(lambda: cluster.closed(ours))
        assert stored(ledger) == before
        assert "older release" in redis.hget(key, "stalled_reason")
        cluster.processes["dispatcher"].terminate()
        until(lambda: redis.hget(key, "state") == "closed")
        assert redis.hmget(key, "done", "stalled_reason") == ["2", ""]
    finally:
        cluster.stop()
    for name in ("dispatcher", "newer"):
        assert "Traceback" not in cluster.log(name)
    assert cluster.log("dispatcher").count(LEFT_ALONE) == 1
    assert LEFT_ALONE not in cluster.log("newer")
