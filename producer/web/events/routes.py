"""`/v1/events/s3`: buckets that announce new objects, each of which becomes a single image."""

import hashlib
import json
import time
from functools import lru_cache
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from contract.errors import CutoutError, ErrorCode
from contract.safe_http import client
from producer.callbacks import signatures
from producer.dispatch import cutouts
from producer.web.api_keys import Scope
from producer.web.context import Backend, TheBackend, admit
from producer.web.cutouts.request import NewCutout, body_of
from producer.web.cutouts.resource import submit
from producer.web.cutouts.routes import PROBLEMS
from producer.web.events import notification
from producer.web.events.rules import rule_for
from producer.web.events.sns import verify_sns
from producer.web.problems import RequestError

router = APIRouter(prefix="/v1/events", tags=["events"])

CERTIFICATE_BYTES = 64 * 1024


class Accepted(BaseModel):
    accepted: list[str] = Field(description="ids of the single images")
    ignored: int = Field(description="objects that no rule is for, or that came before")


BODY = {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}


@router.post("/s3", responses=PROBLEMS, openapi_extra={"requestBody": BODY})
async def announce(
    request: Request,
    backend: TheBackend,
    authorization: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Accepted:
    """Take a notification of S3 or MinIO, of EventBridge, SNS or CloudEvents.

    SNS is believed by its signature; everything else by a key with the scope `submit`, or by a
    Standard Webhooks signature.
    """
    body = await body_of(request)
    headers = {name.lower(): value for name, value in request.headers.items()}
    return await run_in_threadpool(take, backend, body, headers, authorization)


def take(
    backend: Backend, body: bytes, headers: dict[str, str], authorization: str | None
) -> Accepted:
    document = notification.read(body)
    if notification.is_sns(document):
        if confirm := _verified(backend, document):
            client.fetch(confirm, CERTIFICATE_BYTES, allow=backend.config.url_allowlist)
            return Accepted(accepted=[], ignored=0)
    elif "webhook-signature" in headers and backend.config.webhook_secret:
        signatures.verify(headers, body, backend.config.webhook_secret, time.time())
    else:
        admit(backend, (authorization or "").partition(" ")[2].strip() or None, Scope.SUBMIT)
    # a body without either is told apart by itself: it holds the moment of the upload
    return submit_all(
        backend, notification.parse(document, headers), hashlib.sha256(body).hexdigest()
    )


def _verified(backend: Backend, document: dict[str, Any]) -> str | None:
    allow = backend.config.url_allowlist
    try:
        return verify_sns(document, backend.config.sns_topics, lambda url: _certificate(url, allow))
    except CutoutError:
        _certificate.cache_clear()  # what was kept may be what is wrong
        raise


@lru_cache(maxsize=4)
def _certificate(url: str, allow: tuple[str, ...]) -> bytes:
    """Fetch what signs a topic's messages; SNS names each anew, and one serves all for months."""
    return client.fetch(url, CERTIFICATE_BYTES, allow=allow).data


def submit_all(backend: Backend, found: list[notification.ObjectEvent], otherwise: str) -> Accepted:
    accepted, ignored = [], 0
    for event in found:
        rule = rule_for(backend.rules, event)
        # our own uploads and cut-outs are announced too, where our store is in such a bucket
        if rule is None or f"s3://{event.bucket}/{event.key}".startswith(f"{backend.store}/"):
            ignored += 1
            continue
        identity = cutouts.new_cutout_id()
        # the same object told twice, by a bucket that delivers at least once, or by a stranger
        told = [event.bucket, event.key, event.sequencer or event.etag or otherwise]
        digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()
        first = backend.idempotency_keys.reserve("events", digest, digest, identity)
        if first.cutout_id != identity:
            if not (first.committed or backend.ledger.batches.exists(first.cutout_id)):
                # its server may have vanished: the bucket is to tell it again
                raise RequestError(ErrorCode.TOO_MANY_REQUESTS, "The same event is under way.", 5)
            ignored += 1
            continue
        new = NewCutout(
            source=f"s3://{event.bucket}/{event.key}", destination=rule.output(event.key),
            model=rule.model, rendition=rule.rendition,
        )  # fmt: skip
        try:
            submit(backend, identity, new, None)
        except CutoutError as error:
            if error.code is not ErrorCode.REDIS_UNAVAILABLE:
                backend.idempotency_keys.release("events", digest, first)  # it is told again
            raise
        backend.idempotency_keys.commit("events", digest, first)
        accepted.append(identity)
    return Accepted(accepted=accepted, ignored=ignored)
