"""All settings, read from the environment: each with its default, its unit and its effect."""

import base64
import os
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from contract.errors import ErrorCode, PermanentError
from contract.paths import expand
from contract.redis_address import RedisAddress, check_ca_file
from contract.safe_http.policy import allowed_entry
from contract.secret_files import secrets_in_files
from contract.validation import first_error

REPLY_SECONDS = 5
"""Seconds to wait for a Redis reply before treating the connection as dead. Kept short because a
worker's main process waits on each of its four connections in turn and does nothing meanwhile."""


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part for part in map(str.strip, value.split(",")) if part)


def _without_brackets(value: object) -> object:
    return value.removeprefix("[").removesuffix("]") if isinstance(value, str) else value


def _is_host(address: str) -> str:
    try:
        address.encode("idna")
    except UnicodeError:
        raise ValueError("it is neither an address nor the name of a host") from None
    return address


ListenAddress = Annotated[str, BeforeValidator(_without_brackets), AfterValidator(_is_host)]
"""An IPv4 or IPv6 address, or a host name. IPv6 addresses may be in brackets, as in URLs."""

CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""A list in one environment variable; spaces around commas are ignored."""

Provider = Literal["cpu", "openvino", "cuda", "tensorrt", "coreml"]
"""What computes the network: a provider of ONNX Runtime, or OpenVINO's own runtime."""
CPU: Provider = "cpu"

WEBHOOK_KEY_BYTES = range(24, 65)
"""Length of a signing secret in bytes, as the Standard Webhooks specification 1.0.0 requires."""


class Settings(BaseSettings):
    """Variables named `CUTOUT_*`. AWS credentials and regions are read by boto3 itself."""

    model_config = SettingsConfigDict(
        env_prefix="CUTOUT_",
        env_ignore_empty=True,  # `CUTOUT_REDIS_URL=` in an .env or compose file means unset
        frozen=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )

    redis_url: str | None = Field(
        None,
        repr=False,
        description="URL of Redis: redis://, rediss:// (TLS) or unix://, or of its Sentinels:"
        " sentinel://HOST,HOST,HOST/MASTER or sentinels:// (TLS). If not set, `cutout run`"
        " and `cutout up` start a Redis of their own.",
    )
    redis_ca: Path | None = Field(
        None,
        description="File with the certificate, in PEM form, of a private CA that signed the"
        " certificates of Redis and its Sentinels. The system's CAs are trusted in any case.",
    )
    sentinel_password: str | None = Field(
        None, repr=False, description="Password of the Sentinels, if they require one."
    )
    model: str = Field(
        "u2netp-int8",
        description="Model that a worker loads, and that a batch uses unless it names another.",
    )
    model_dir: Path = Field(
        Path("~/.cache/cutout/models"), description="Folder for downloaded and verified weights."
    )
    model_source: str | None = Field(
        None,
        repr=False,
        description="Path, https:// or s3:// URL of weights, tried before the official sources.",
    )
    providers: Annotated[tuple[Provider, ...], NoDecode, BeforeValidator(_split)] = Field(
        (CPU,),
        min_length=1,
        description="Execution providers that compute the network, comma-separated, in order of"
        " preference: cpu, openvino, cuda, tensorrt, coreml. A worker does not start if one of them"
        " is missing. `cpu`, at the end, computes the layers that the others cannot; without it,"
        " such a network is refused.",
    )
    state_dir: Path = Field(
        Path("~/.local/state/cutout"),
        description="Folder for the heartbeats of workers, and for the data and logs of"
        " `cutout run` and `cutout up`.",
    )
    max_pixels: int = Field(
        100_000_000,
        gt=0,
        description="Largest photograph in pixels (width x height). Larger ones, and those with"
        " more than 65,535 on a side, fail with `too_many_pixels` before they are decoded.",
    )
    max_bytes: int = Field(
        256 * 1024**2,
        gt=0,
        description="Largest source object in bytes. Larger ones fail with `too_many_bytes` before"
        " they are read.",
    )
    time_limit: float = Field(
        120,
        gt=1,
        description="Seconds that one image may take. At 80 % of it the attempt is interrupted and"
        " the image retried; at 100 % its process is replaced and the attempt counts as a crash.",
    )
    visibility_timeout: float = Field(
        300,
        gt=1,
        description="Seconds until an unacknowledged message is delivered again. Must be the same"
        " in every process, and more than the time limit.",
    )
    retry_budget: int = Field(
        5,
        ge=0,
        description="Retries of one image after temporary errors, before it fails with"
        " `exhausted`.",
    )
    retry_delay: float = Field(
        2,
        gt=0,
        description="Longest delay in seconds before the first retry. It doubles with every retry;"
        " the actual delay is a random share of it (full jitter).",
    )
    window: int = Field(
        20_000,
        gt=0,
        description="Upper bound of the images that are queued or being processed at a time, by all"
        " batches of a model together. Below it, the dispatcher queues about 2 seconds of work for"
        " the workers that are running. It limits the memory that Redis uses, to about 2 KB per"
        " image.",
    )
    url_allowlist: CommaSeparated = Field(
        (),
        description="Hosts and networks, comma-separated, that may be reached over http and at"
        " private addresses.",
    )
    webhook_secret: CommaSeparated = Field(
        (),
        repr=False,
        description="Secrets that sign callbacks, comma-separated, each `whsec_` and 24 to 64 bytes"
        " in base64. Every callback carries one signature per secret, so secrets can be rotated.",
    )
    s3_encryption: Literal["AES256", "aws:kms", "aws:kms:dsse"] | None = Field(
        None,
        description="Server-side encryption requested of S3 for each object written. Not set:"
        " the bucket's default.",
    )
    s3_kms_key: str | None = Field(
        None,
        description="ID or ARN of the KMS key for CUTOUT_S3_ENCRYPTION=aws:kms or aws:kms:dsse. Not"
        " set: the account's own key for S3.",
    )
    s3_requester_pays: bool = Field(
        False,
        description="Whether you pay for requests to buckets of others that are marked"
        " `Requester Pays`; they refuse all other requests.",
    )
    log_format: Literal["human", "json"] = Field(
        "human", description="Form of log lines on standard error."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe level that is logged."
    )
    flower_address: ListenAddress = Field(
        "127.0.0.1",
        description="Address that Flower listens on; `0.0.0.0` or `::` for all interfaces.",
    )
    flower_port: int = Field(
        5555, ge=0, le=65535, description="Port that Flower listens on; 0 for any free one."
    )
    flower_users: CommaSeparated = Field(
        (),
        repr=False,
        description="Users of Flower, comma-separated, each NAME:PASSWORD. Not set: Flower asks for"
        " no password.",
    )
    flower_db: Path | None = Field(
        None,
        description="File in which Flower keeps the tasks and workers that it has seen, over"
        " restarts. Not set: it forgets them.",
    )
    metrics_address: ListenAddress = Field(
        "127.0.0.1",
        description="Address of `/metrics` and `/healthz`. They need no key, so make any but a"
        " loopback address reachable for Prometheus alone.",
    )
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port at which `cutout dispatch`, `worker` and `serve` serve `/metrics` and"
        " `/healthz`; 0 for any free one. If not set, they serve neither. Processes that share a"
        " machine's network need different ones.",
    )
    web_address: ListenAddress = Field(
        "127.0.0.1",
        description="Address that `cutout serve` listens on. Any but a loopback address requires"
        " CUTOUT_API_KEYS.",
    )
    web_port: int = Field(
        8080, ge=0, le=65535, description="Port that `cutout serve` listens on; 0 for any free one."
    )
    web_store: str | None = Field(
        None,
        description="Folder or s3://bucket/prefix for uploads, and for cutouts without a"
        " destination of their own. `cutout serve` requires it.",
    )
    api_keys: Path | None = Field(
        None, description="File of hashed API keys; `cutout key` adds to it."
    )
    event_rules: Path | None = Field(
        None,
        description="JSON file of rules: the new objects of which buckets are processed, and where"
        " the outputs are written.",
    )
    sns_topics: CommaSeparated = Field(
        (), description="ARNs of the SNS topics whose notifications are accepted, comma-separated."
    )
    rate_limit_per_minute: int = Field(
        600,
        gt=0,
        description="Maximum number of requests per minute for each API key; further ones are"
        " answered with status 429.",
    )
    max_queued: int = Field(
        1000,
        gt=0,
        description="Maximum number of queued cutouts per model; further ones are answered with"
        " status 429.",
    )

    @field_validator("*", mode="before")
    @classmethod
    def _is_unicode(cls, value: object) -> object:
        # an environment variable may hold any bytes, which Python reads as surrogates
        if isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError:
                raise ValueError("it is not Unicode") from None
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis_url_is_valid(cls, url: str | None) -> str | None:
        if url is not None:
            RedisAddress.parse(url)
        return url

    @field_validator("redis_ca")
    @classmethod
    def _ca_is_readable(cls, path: Path | None) -> Path | None:
        return None if path is None else check_ca_file(expand(path))

    @model_validator(mode="after")
    def _time_limits_are_consistent(self) -> Self:
        # an image still being processed when its message is delivered again would run twice at once
        if self.time_limit >= self.visibility_timeout:
            raise ValueError("CUTOUT_TIME_LIMIT must be below CUTOUT_VISIBILITY_TIMEOUT")
        # `retry_delay` in worker/retry.py doubles the delay up to half the visibility timeout
        if self.retry_delay > self.visibility_timeout / 2:
            raise ValueError("CUTOUT_RETRY_DELAY must be at most half of CUTOUT_VISIBILITY_TIMEOUT")
        return self

    @model_validator(mode="after")
    def _ca_is_used(self) -> Self:
        if self.redis_ca and (self.redis_url or "").startswith(("redis:", "sentinel:")):
            raise ValueError(
                "CUTOUT_REDIS_CA has no effect unless CUTOUT_REDIS_URL begins with rediss:// or"
                " sentinels://"
            )
        return self

    @model_validator(mode="after")
    def _kms_key_is_used(self) -> Self:
        if self.s3_kms_key and self.s3_encryption not in {"aws:kms", "aws:kms:dsse"}:
            raise ValueError(
                "CUTOUT_S3_KMS_KEY has no effect unless CUTOUT_S3_ENCRYPTION names KMS"
            )
        return self

    @field_validator("providers")
    @classmethod
    def _providers_are_in_order(cls, providers: tuple[Provider, ...]) -> tuple[Provider, ...]:
        if len(set(providers)) < len(providers):
            raise ValueError("a provider is named twice")
        if CPU in providers[:-1]:
            raise ValueError("cpu must come last, as it computes what the others cannot")
        if "openvino" in providers and set(providers) - {"openvino", CPU}:
            raise ValueError("openvino cannot be combined with another provider than cpu")
        return providers

    @field_validator("url_allowlist")
    @classmethod
    def _allowlist_is_valid(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        try:
            for entry in entries:
                allowed_entry(entry)
        except ValueError:
            raise ValueError("each entry must be a host or a network") from None
        return entries

    @field_validator("flower_users")
    @classmethod
    def _users_have_passwords(cls, users: tuple[str, ...]) -> tuple[str, ...]:
        if not all(all(user.partition(":")[::2]) for user in users):
            raise ValueError("each user must be NAME:PASSWORD")
        return users

    @field_validator("webhook_secret")
    @classmethod
    def _secrets_are_valid(cls, secrets: tuple[str, ...]) -> tuple[str, ...]:
        for secret in secrets:
            prefix, _, key = secret.partition("_")
            try:
                length = len(base64.b64decode(key, validate=True))
            except ValueError:
                length = 0
            if prefix != "whsec" or length not in WEBHOOK_KEY_BYTES:
                raise ValueError("each secret must be whsec_ and 24 to 64 bytes in base64")
        return secrets

    def require_redis_address(self) -> RedisAddress:
        """Return where Redis is, or raise PermanentError (`invalid_setting`) if that is not set."""
        if self.redis_url is None:
            raise PermanentError(ErrorCode.INVALID_SETTING, "CUTOUT_REDIS_URL is not set.")
        return RedisAddress.parse(self.redis_url, self.redis_ca, self.sentinel_password)


ENV_PREFIX = Settings.model_config["env_prefix"]
SECRETS = tuple(name for name, field in Settings.model_fields.items() if not field.repr)
"""Fields whose values are shown nowhere, and may lie in a file: see `contract.secret_files`."""


def variable_of(field: str) -> str:
    """Return the environment variable of a field."""
    return f"{ENV_PREFIX}{field.upper()}"


@cache
def settings() -> Settings:
    """Return the settings of this process, read once.

    Raises PermanentError (`invalid_setting`) that names the variable but never its value, which
    may be a password.
    """
    fields = {variable_of(name): name for name in SECRETS}
    in_files = secrets_in_files(os.environ, fields)
    try:
        return Settings(**{fields[name]: value for name, value in in_files.items()})  # type: ignore[arg-type]
    except ValidationError as error:
        first = first_error(error)
        variable = f"{variable_of(first.name)}: " if first.name else ""
        raise PermanentError(ErrorCode.INVALID_SETTING, f"{variable}{first.message}.") from None
