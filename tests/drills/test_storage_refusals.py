"""What storage refuses for good: an image fails at once, or the batch pauses and says why."""

import time

import boto3
import pytest
from support.drill import Drill
from support.faults import HttpProxy, status
from support.services import S3Server

ARCHIVED, GOOD = 100, 20


def test_archived_photographs_end_the_batch(
    drill: Drill, moto_server: S3Server, monkeypatch
) -> None:
    moto_server.select(monkeypatch)
    monkeypatch.setattr(drill.cluster, "env", {**drill.cluster.env, **moto_server.environment})
    bucket = f"archive-{time.time_ns()}"
    client = boto3.session.Session().client("s3")
    client.create_bucket(Bucket=bucket)
    drill.fill(ARCHIVED + GOOD)
    good = [drill.key(number) for number in range(0, ARCHIVED + GOOD, 6)]
    for number in range(ARCHIVED + GOOD):
        key = drill.key(number)
        client.put_object(
            Bucket=bucket, Key=f"in/{key}", Body=drill.key_path(number).read_bytes(),
            StorageClass="STANDARD" if key in good else "GLACIER",
        )  # fmt: skip
    drill.locations = f"s3://{bucket}/in", f"s3://{bucket}/out"
    drill.cluster.env["CUTOUT_RETRY_DELAY"] = "2"  # the default
    drill.cluster.start_dispatcher()
    drill.cluster.start_worker()
    start = time.monotonic()
    spec = drill.submit()
    drill.closed(spec)
    took = time.monotonic() - start

    outcomes = drill.outcomes(spec).values()
    archived = [row for row in outcomes if row.status == "failed"]
    assert {row.key for row in outcomes if row.status == "done"} == {*good}
    assert {(row.code, row.attempts) for row in archived} == {("object_archived", 1)}
    assert all(row.key in row.message for row in archived)
    injected = f"{ARCHIVED} archived objects among {GOOD} others"
    assert drill.passed(spec, injected, 60, took)["failed"] == ARCHIVED


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (status(400, "InvalidToken"), "failed with invalid_credentials. Correct or renew the AWS"),
        (status(301, "PermanentRedirect"), "failed with wrong_region. Set AWS_DEFAULT_REGION"),
        (status(400, "KMS.DisabledException"), "failed with encryption_key_refused. Enable the"),
    ],
    ids=["token", "region", "key"],
)
def test_what_an_operator_must_correct_pauses_the_batch(
    drill: Drill, moto_server: S3Server, monkeypatch, answer, reason: str
) -> None:
    moto_server.select(monkeypatch)
    bucket = f"refused-{time.time_ns()}"
    boto3.session.Session().client("s3").create_bucket(Bucket=bucket)
    drill.fill(60)
    drill.locations = str(drill.catalogue), f"s3://{bucket}"
    with HttpProxy(moto_server.url) as proxy:
        drill.cluster.env = {**drill.cluster.env, "AWS_ENDPOINT_URL": proxy.url}
        spec = drill.submit()
        proxy.add(answer, path=".png")
        start = time.monotonic()
        drill.cluster.start_dispatcher()
        drill.cluster.start_worker()
        progress = drill.paused(spec)
        took = time.monotonic() - start
        assert reason in progress.stalled_reason
        assert progress.retry_at is None
        proxy.clear()
        drill.cutout("resume", spec.id)
        drill.closed(spec)
        drill.cutout("retry", spec.id)
        drill.closed(spec)

    injected = f"{answer.name} for every output: until the batch pauses"
    assert drill.passed(spec, injected, 30, took)["done"] == 60


def test_keys_with_empty_parts_are_carried_over_from_bucket_to_bucket(
    drill: Drill, moto_server: S3Server, monkeypatch
) -> None:
    moto_server.select(monkeypatch)
    drill.cluster.env = {**drill.cluster.env, **moto_server.environment}
    bucket = f"empty-parts-{time.time_ns()}"
    client = boto3.session.Session().client("s3")
    client.create_bucket(Bucket=bucket)
    drill.fill(4)
    keys = ("a.jpg", "/a.jpg", "x/y.jpg", "x//y.jpg")
    for number, key in enumerate(keys):
        data = drill.key_path(number).read_bytes()
        client.put_object(Bucket=bucket, Key=f"in/{key}", Body=data)
    drill.cluster.start_dispatcher()
    drill.cluster.start_worker()
    start = time.monotonic()
    drill.locations = f"s3://{bucket}/in", f"s3://{bucket}/out"
    spec = drill.submit()
    drill.closed(spec)
    counts = drill.passed(spec, "keys with empty parts", 60, time.monotonic() - start)
    assert counts["done"] == 4
    for key in keys:
        client.head_object(Bucket=bucket, Key=f"out/{key.removesuffix('.jpg')}.png")

    drill.locations = f"s3://{bucket}/in", str(drill.out)
    spec = drill.submit()
    assert drill.closed(spec).done == 2
    failed = [row for row in drill.outcomes(spec).values() if row.status == "failed"]
    assert {(row.key, row.code) for row in failed} == {
        ("/a.jpg", "unsafe_key"), ("x//y.jpg", "unsafe_key"),
    }  # fmt: skip
