"""Processes that are frozen for longer than their lease, and then go on."""

import os
import signal
import threading
import time

import boto3
from support.catalogue import photograph
from support.drill import Drill
from support.faults import Answer, HttpProxy, rewrite
from support.services import S3Server, until

from contract import names
from contract.storage import open_store
from producer.dispatch.dispatcher import LEASE_SECONDS

TIMES = {"CUTOUT_VISIBILITY_TIMEOUT": "6", "CUTOUT_TIME_LIMIT": "4"}


def freeze(drill: Drill, name: str) -> int:
    """Stop a process and its children, as a suspended machine does; return their group."""
    group = drill.cluster.processes[name].pid
    os.killpg(group, signal.SIGSTOP)
    return group


def test_a_worker_is_frozen_while_its_output_is_on_its_way(
    drill: Drill, moto_server: S3Server, monkeypatch
) -> None:
    """The PUT reaches the storage once another batch has written a newer output."""
    moto_server.select(monkeypatch)
    s3 = boto3.session.Session().client("s3")
    source, destination = f"in{time.time_ns()}", f"out{time.time_ns()}"
    for bucket in (source, destination):
        s3.create_bucket(Bucket=bucket)
    photograph(drill.catalogue / "shoe.jpg")
    s3.upload_file(str(drill.catalogue / "shoe.jpg"), source, "shoe.jpg")
    drill.locations = f"s3://{source}", f"s3://{destination}"
    arrived, release = threading.Event(), threading.Event()
    answers: list[int] = []

    def hold(method: str, path: str) -> None:
        if method == "PUT" and path.startswith(f"/{destination}/shoe.png"):
            arrived.set()
            release.wait()

    def note(answer: Answer) -> Answer:
        answers.append(answer.status)
        return answer

    with HttpProxy(moto_server.url) as proxy:
        proxy.before = hold
        proxy.add(rewrite(note), {"PUT"}, "/shoe.png")
        spec = drill.submit()
        drill.cluster.env.update(TIMES)
        drill.cluster.start_dispatcher()
        drill.cluster.start_worker(1, "frozen", AWS_ENDPOINT_URL=proxy.url)
        assert arrived.wait(60)
        group = freeze(drill, "frozen")
        drill.cluster.start_worker(1)
        drill.closed(spec)
        newer = drill.submit(force=True)
        drill.closed(newer)
        store = open_store(newer.destination)
        written = store.head("shoe.png")
        assert written is not None
        assert written.metadata["batch"] == newer.id
        release.set()
        until(lambda: answers)
        os.killpg(group, signal.SIGCONT)
        until(lambda: drill.cluster.titled("idle", "frozen"))
        until(drill.quiet)
    assert answers[0] == 412
    injected = "SIGSTOP to a worker past its lease, its PUT arrives late"
    counts = drill.passed(newer, injected, 0, store.head("shoe.png") != written, "overwritten")
    assert counts["done"] == drill.progress(spec).done == 1


def test_a_dispatcher_is_frozen_for_longer_than_its_lease(drill: Drill) -> None:
    count = drill.size(200, 3000)
    drill.fill(count)
    spec = drill.submit()
    drill.cluster.env.update(CUTOUT_WINDOW="50")
    drill.cluster.start_dispatcher("frozen")
    drill.cluster.start_dispatcher("other")
    drill.cluster.start_worker()
    drill.settled(spec, count // 4, 600)
    redis, name = drill.cluster.ledger.connection.client, "frozen"
    if "standing by" in drill.cluster.log("frozen"):
        name = "other"
    group = freeze(drill, name)
    until(lambda: not redis.exists(names.DISPATCHER_LEASE), LEASE_SECONDS + 5, pause=0.01)
    drill.settled(spec, count // 2, 600)
    os.killpg(group, signal.SIGCONT)
    drill.closed(spec, 900)
    until(lambda: drill.cluster.log(name).count("standing by"))
    counts = drill.passed(spec, "SIGSTOP to the active dispatcher, past its lease", 0, 0, "")
    assert counts["done"] == count
