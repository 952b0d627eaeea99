"""`/v1/models`, and `/healthz` for load balancers."""

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from producer.web.auth import Reader
from producer.web.context import RequestContext
from producer.web.problems import RESPONSES

router = APIRouter()


class Models(BaseModel):
    """The models that can be used now."""

    models: list[str] = Field(
        description="Names of the models for which at least one worker is running, in alphabetical"
        " order. If no worker is running, only the default model.",
        examples=[["u2net-int8", "u2netp"]],
    )
    default: str = Field(
        description="The model that is used if a request names none.", examples=["u2netp-int8"]
    )


@router.get(
    "/v1/models", tags=["models"], summary="List the models that workers serve now",
    response_description="The models.",
    responses=RESPONSES,
)  # fmt: skip
def list_models(context: RequestContext, _: Reader) -> Models:
    """List the models that workers serve now; if there is no worker, the default model.

    A request may name any other known model too: its image waits until a worker for that model is
    started. Requires a key with the scope `read`.
    """
    default = context.settings.model
    return Models(models=sorted(context.models_served()) or [default], default=default)


@router.get("/healthz", include_in_schema=False)
def health(context: RequestContext) -> Response:
    """Answer 200 if Redis answers, else 503. Without a dispatcher, the text says so."""
    running = context.ledger.has_dispatcher()
    text = "ok\n" if running else "ok, but no dispatcher is running: batches wait\n"
    return Response(text, media_type="text/plain")
