"""`/v1/events/s3`: notifications of new objects, each of which becomes a cutout."""

import hashlib
import time
from functools import lru_cache
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from contract.errors import CutoutError
from contract.safe_http import client
from producer.callbacks import signatures
from producer.web.api_keys import Scope
from producer.web.auth import admit, bearer_token
from producer.web.context import Context, RequestContext
from producer.web.events import notification
from producer.web.events.cutouts import create_cutouts
from producer.web.events.sns import verify_sns
from producer.web.problems import RESPONSES

router = APIRouter(prefix="/v1/events", tags=["events"])

MAX_CERTIFICATE_BYTES = 64 * 1024
"""Maximum size of SNS's certificate, and of its answer to the confirmation of a subscription."""


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
) -> Accepted:
    """Receive a notification of new objects and create a cutout for each.

    Accepts notifications of S3, MinIO and Ceph and events of EventBridge. Either may be wrapped in
    an SNS message or in CloudEvents 1.0. The server's operator defines in rules
    (CUTOUT_EVENT_RULES) which objects are processed and where the outputs are written.

    An SNS message is authenticated by its signature and its topic, and a subscription is confirmed
    automatically. Any other notification needs a Standard Webhooks signature, or a key with the
    scope `submit`. A notification may be delivered more than once: each object is processed once,
    or again if its cutout failed.
    """
    body = await request.body()
    headers = {name.lower(): value for name, value in request.headers.items()}
    api_key = bearer_token(authorization) or x_api_key
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
    events = notification.parse(document, headers)
    accepted, ignored = create_cutouts(context, events, hashlib.sha256(body).hexdigest())
    return Accepted(accepted=accepted, ignored=ignored)


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
