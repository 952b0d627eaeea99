"""`cutout run` if the batch pauses because of an error that the user must fix."""

import re

import boto3
import pytest
from support.catalogue import photograph, report_rows
from support.commands import cutout
from support.faults import HttpProxy, status
from support.services import S3Server

COUNT = 40


@pytest.mark.long
def test_a_run_that_paused_itself_ends_and_the_same_command_goes_on(
    rclone_server: S3Server, weights, catalogue, tmp_path, monkeypatch
) -> None:
    rclone_server.select(monkeypatch)
    client = boto3.session.Session().client("s3")
    client.create_bucket(Bucket="paused-run")
    photograph(catalogue / "a.jpg")
    for number in range(COUNT):
        client.upload_file(str(catalogue / "a.jpg"), "paused-run", f"{number:02}.jpg")
    out = tmp_path / "out"
    with HttpProxy(rclone_server.url) as proxy:
        proxy.add(status(403), path=".jpg")
        stopped = cutout("run", "s3://paused-run", out, AWS_ENDPOINT_URL=proxy.url)
        proxy.clear()
        finished = cutout("run", "s3://paused-run", out, AWS_ENDPOINT_URL=proxy.url)

    assert stopped.returncode == 1, stopped.stderr
    assert re.search(
        r"^cutout: batch_paused: \d+ of the last \d+ attempts failed with access_denied\. "
        r".* or the same `cutout run` again\.$", stopped.stderr, re.MULTILINE,
    )  # fmt: skip
    assert "Traceback" not in stopped.stderr
    assert finished.returncode == 0, finished.stderr
    assert "Continuing batch" in finished.stderr
    assert f"{COUNT} done, 0 skipped, 0 failed" in finished.stderr
    (report,) = out.glob("_cutout/b-*/report.csv")  # one batch
    assert sorted(int(row["line"]) for row in report_rows(report.read_text())) == [*range(COUNT)]
