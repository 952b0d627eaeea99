"""The one reader of the environment: every knob, its default, and why that default."""

import base64
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from contract.errors import ErrorCode, PermanentError
from contract.safe_http.policy import allowed_entry
from contract.validation import first_error

REPLY_SECONDS = 5
"""Seconds to wait for a Redis reply before treating the connection as dead. Kept short because a
worker's main process waits on each of its four connections in turn and does nothing meanwhile."""


def _listed(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part for part in map(str.strip, value.split(",")) if part)


Listed = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)]
"""Comma-separated, as the environment has no lists."""

WEBHOOK_KEY_BYTES = range(24, 65)
"""Of the Standard Webhooks specification, 1.0.0."""


class Settings(BaseSettings):
    """Read from `CUTOUT_*`. AWS's own variables and profiles are read by boto3 itself."""

    model_config = SettingsConfigDict(
        env_prefix="CUTOUT_",
        env_ignore_empty=True,  # `CUTOUT_REDIS_URL=` in an .env or compose file means unset
        frozen=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )

    redis_url: str | None = Field(
        None, repr=False, description="unset: the embedded Redis of `cutout run`"
    )
    model: str = Field("u2netp", description="the model a worker loads, and the default of a batch")
    model_dir: Path = Field(
        Path("~/.cache/cutout/models"), description="where verified weights are kept"
    )
    model_source: str | None = Field(
        None, repr=False, description="a path, URL or s3:// that goes before the official sources"
    )
    state_dir: Path = Field(
        Path("~/.local/state/cutout"),
        description="heartbeats of workers; Redis data and logs of the embedded stack",
    )
    max_pixels: int = Field(100_000_000, gt=0, description="width x height of a photograph")
    max_bytes: int = Field(256 * 1024**2, gt=0, description="size of a source object")
    time_limit: float = Field(
        120, gt=1, description="seconds an image may take before its process is replaced"
    )
    visibility_timeout: float = Field(
        300, gt=1, description="seconds until an unanswered job is handed out again"
    )
    retry_budget: int = Field(5, ge=0, description="orderly retries of one image")
    retry_delay: float = Field(
        2, gt=0, description="seconds before the first retry; doubles, with full jitter"
    )
    window: int = Field(1000, gt=0, description="jobs of one batch in the broker at a time")
    url_allowlist: Listed = Field(
        (), description="hosts and networks that may be asked over http and on private addresses"
    )
    webhook_secret: Listed = Field(
        (), repr=False, description="`whsec_...`, one or several: the newest first, old ones beside"
    )
    log_format: Literal["human", "json"] = "human"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    flower_address: str = "127.0.0.1"
    flower_port: int = Field(5555, ge=0, le=65535)

    web_address: str = "127.0.0.1"
    web_port: int = Field(8080, ge=0, le=65535)
    web_store: str | None = Field(
        None, description="folder or s3:// where uploads, and results without a destination, go"
    )
    api_keys: Path | None = Field(None, description="the file that `cutout key` adds to")
    event_rules: Path | None = Field(
        None, description="a JSON file: which buckets' new objects are cut out, and where to"
    )
    sns_topics: Listed = Field((), description="ARNs of the topics that may announce objects")
    rate_limit_per_minute: int = Field(600, gt=0, description="of one key")
    max_queued: int = Field(1000, gt=0, description="single images in the queue before 429")

    @model_validator(mode="after")
    def _times_agree(self) -> Self:
        # a job still running when its message becomes visible again would be run twice at once
        if self.time_limit >= self.visibility_timeout:
            raise ValueError("CUTOUT_TIME_LIMIT must be below CUTOUT_VISIBILITY_TIMEOUT")
        # the delay doubles up to there
        if self.retry_delay > self.visibility_timeout / 2:
            raise ValueError("CUTOUT_RETRY_DELAY must be at most half of CUTOUT_VISIBILITY_TIMEOUT")
        return self

    @field_validator("url_allowlist")
    @classmethod
    def _entries_are_places(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        try:
            for entry in entries:
                allowed_entry(entry)
        except ValueError:
            raise ValueError("an entry is neither a host nor a network") from None
        return entries

    @field_validator("webhook_secret")
    @classmethod
    def _secrets_are_keys(cls, secrets: tuple[str, ...]) -> tuple[str, ...]:
        for secret in secrets:
            prefix, _, key = secret.partition("_")
            try:
                length = len(base64.b64decode(key, validate=True))
            except ValueError:
                length = 0
            if prefix != "whsec" or length not in WEBHOOK_KEY_BYTES:
                raise ValueError("a secret is whsec_ and 24 to 64 random bytes in base64")
        return secrets

    def require_redis_url(self) -> str:
        """Return `redis_url`, or raise PermanentError (`invalid_setting`) if it is not set."""
        if self.redis_url is None:
            raise PermanentError(ErrorCode.INVALID_SETTING, "CUTOUT_REDIS_URL is not set.")
        return self.redis_url

    @property
    def broker_url(self) -> str:
        """`redis_url` in Celery's spelling: it calls a Unix socket `redis+socket://`."""
        url = self.require_redis_url()
        scheme, _, rest = url.partition("://")
        return f"redis+socket://{rest}" if scheme == "unix" else url


@cache
def settings() -> Settings:
    """Return the process's settings.

    Raises PermanentError (`invalid_setting`) naming the variable, never its value: it may hold
    a password.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = first_error(error)
        variable = f"CUTOUT_{first.name.upper()}: " if first.name else ""
        raise PermanentError(ErrorCode.INVALID_SETTING, f"{variable}{first.message}.") from None


def transport_options(config: Settings) -> dict[str, object]:
    """Say what producer, worker and Flower must tell the broker alike, or messages are lost."""
    return {
        "visibility_timeout": config.visibility_timeout,
        # a worker of several queues empties the first one first, instead of taking turns
        "queue_order_strategy": "priority",
        # the sweep for abandoned messages: every 5 s, not every 100 s as by default
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        # without these a black-holed connection hangs a worker for ever
        "socket_timeout": REPLY_SECONDS,
        "socket_connect_timeout": REPLY_SECONDS,
        "socket_keepalive": not config.broker_url.startswith("redis+socket"),
        # the same for a worker's wait for messages, which no socket timeout ends
        "health_check_interval": REPLY_SECONDS,
    }
