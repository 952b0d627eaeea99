"""`/v1/events/s3`: notifications of new objects, each of which becomes a cutout."""

import hashlib
import time
from functools import lru_cache
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from contract import names
from contract.errors import NEXT_STEP, CutoutError, ErrorCode
from contract.safe_http import client
from producer.callbacks import signatures
from producer.web.api_keys import Scope
from producer.web.auth import admit, bearer_token
from producer.web.context import Context, RequestContext
from producer.web.events import notification
from producer.web.events.cutouts import create_cutouts
from producer.web.events.notification import RefusedRecord
from producer.web.events.sns import verify_sns
from producer.web.problems import RESPONSES

log = structlog.get_logger(__name__)
router = APIRouter(prefix="/v1/events", tags=["events"])

MAX_CERTIFICATE_BYTES = 64 * 1024
"""Maximum size of SNS's certificate, and of its answer to the confirmation of a subscription."""


class Refused(BaseModel):
    """An object that cannot be processed. The others of its notification were."""

    record: int = Field(description="Its position in the notification, from 1.", examples=[2])
    location: str = Field(
        description="Where the object is; empty if the record does not say.",
        examples=["s3://photographs/in/../shoe.jpg"],
    )
    code: ErrorCode = Field(description="A stable code that names the error.")
    detail: str = Field(description="What is wrong, in one sentence.")
    next_step: str = Field(description="What to do about it, in one sentence.")


class Accepted(BaseModel):
    """What was done with the objects that a notification announced."""

    accepted: list[str] = Field(
        description="IDs of the cutouts that were created, one per object.",
        examples=[["c-20250131-093000-1a2b3c4d5e6f"]],
    )
    ignored: int = Field(
        description="Number of objects that match no rule, are outputs themselves, or were"
        " announced before and did not fail."
    )
    refused: list[Refused] = Field(
        default_factory=list,
        description="Objects that cannot be processed. Delivering them again would not help.",
    )


BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "description": "The notification exactly as the sender wrote it.",
            }
        }
    },
}


@router.post(
    "/s3", summary="Announce new objects", response_description="The notification was processed.",
    responses=RESPONSES, openapi_extra={"requestBody": BODY},
)  # fmt: skip
async def announce_objects(
    request: Request,
    context: RequestContext,
    authorization: Annotated[str | None, Header(include_in_schema=False)] = None,
    x_api_key: Annotated[str | None, Header(include_in_schema=False)] = None,
    token: Annotated[str | None, Query(include_in_schema=False)] = None,
) -> Accepted:
    """Receive a notification of new objects and create a cutout for each.

    Accepts notifications of S3, MinIO and Ceph and events of EventBridge, either of them also
    wrapped in SNS, SQS or CloudEvents 1.0; messages of Cloudflare R2; and messages of Google Cloud
    Storage as Pub/Sub pushes them. The server's operator defines in rules (CUTOUT_EVENT_RULES)
    which objects are processed and where the outputs are written.

    An SNS message is authenticated by its signature and its topic, and a subscription is confirmed
    automatically. Any other notification needs a Standard Webhooks signature, or a key with the
    scope `submit`, which a sender that cannot set headers appends to the URL as `?token=KEY`. A
    notification may be delivered more than once: each object is processed once, or again if its
    cutout failed. An object that cannot be processed is named in `refused`, and does not stop the
    others.
    """
    body = await request.body()
    headers = {name.lower(): value for name, value in request.headers.items()}
    # Pub/Sub sends a token of its own in Authorization
    api_key = token or bearer_token(authorization) or x_api_key
    return await run_in_threadpool(_receive, context, request, body, headers, api_key)


def _receive(
    context: Context, request: Request, body: bytes, headers: dict[str, str], api_key: str | None
) -> Accepted:
    document = notification.read(body)
    if notification.is_sns(document):
        if confirmation_url := _verify_sns(context, document):
            allowlist = context.settings.url_allowlist
            client.fetch(confirmation_url, MAX_CERTIFICATE_BYTES, allow=allowlist)
            return Accepted(accepted=[], ignored=0)
    elif "webhook-signature" in headers and context.settings.webhook_secret:
        signatures.verify(headers, body, context.settings.webhook_secret, time.time())
    else:
        admit(context, api_key, Scope.SUBMIT, request)
    announced = notification.parse(document, headers)
    created = create_cutouts(context, announced.events, hashlib.sha256(body).hexdigest())
    refused = sorted([*announced.refused, *created.refused], key=lambda one: one.record)
    return Accepted(
        accepted=created.cutout_ids, ignored=created.ignored, refused=[*map(_refused, refused)]
    )


def _refused(refused: RefusedRecord) -> Refused:
    location = names.printable(refused.location)
    log.warning(
        "event refused", record=refused.record, location=location, code=refused.code.value,
        reason=refused.message,
    )  # fmt: skip
    return Refused(
        record=refused.record, location=location, code=refused.code, detail=refused.message,
        next_step=NEXT_STEP[refused.code],
    )  # fmt: skip


def _verify_sns(context: Context, envelope: dict[str, Any]) -> str | None:
    """Return the URL that confirms a subscription, if the message asks for that, else None."""
    settings = context.settings
    try:
        return verify_sns(
            envelope, settings.sns_topics, lambda url: _certificate(url, settings.url_allowlist)
        )
    except CutoutError:
        _certificate.cache_clear()  # the cached certificate may be what is wrong
        raise


@lru_cache(maxsize=4)
def _certificate(url: str, allowlist: tuple[str, ...]) -> bytes:
    """Fetch a signing certificate of SNS. Cached, as one is used for months."""
    return client.fetch(url, MAX_CERTIFICATE_BYTES, allow=allowlist).data
