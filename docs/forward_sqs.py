"""Forwards the messages of an SQS queue to `cutout serve`. Copy it; it needs boto3 alone.

    CUTOUT_API_KEY=cut_... python forward_sqs.py QUEUE_URL https://cutout.internal/v1/events/s3

A message is deleted once the server has answered 200: its objects are cutouts then, or named in the
answer as refused. Any other message is delivered again by SQS. Several may run.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from typing import Any

import boto3

WAIT_SECONDS = 20
"""How long SQS waits for a message: its maximum."""
MAX_MESSAGES = 10
"""Messages received at a time: SQS's maximum."""
PAUSE_SECONDS = 5
"""Pause after the server could not take a message."""


def forward(sqs: Any, queue: str, url: str, key: str, wait: int = WAIT_SECONDS) -> tuple[int, int]:
    """Forward the next messages of a queue; return how many were, and how many were not."""
    received = sqs.receive_message(
        QueueUrl=queue, MaxNumberOfMessages=MAX_MESSAGES, WaitTimeSeconds=wait
    )
    forwarded = failed = 0
    for message in received.get("Messages", []):
        try:
            answer = _post(url, key, message["Body"])
        except OSError as error:  # not reachable, or any answer but 2xx
            sys.stderr.write(f"{message['MessageId']}: {error}\n")
            failed += 1
            continue
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        sys.stderr.write(f"{message['MessageId']}: {json.dumps(answer)}\n")
        forwarded += 1
    return forwarded, failed


def _post(url: str, key: str, body: str) -> dict[str, Any]:
    """Post one message as a Lambda would pass it on. Raises OSError."""
    records = {"Records": [{"eventSource": "aws:sqs", "body": body}]}
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    data = json.dumps(records).encode()
    request = urllib.request.Request(url, data, headers)  # noqa: S310 - the operator's own
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
        answer: dict[str, Any] = json.load(response)
    return answer


if __name__ == "__main__":
    client = boto3.client("sqs")
    while True:
        if forward(client, sys.argv[1], sys.argv[2], os.environ["CUTOUT_API_KEY"])[1]:
            time.sleep(PAUSE_SECONDS)
