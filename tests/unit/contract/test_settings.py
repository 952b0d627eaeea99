import traceback
from pathlib import Path

import pytest
from support.receivers import tls

from contract.errors import ErrorCode, PermanentError
from contract.settings import Settings, settings


def settings_error() -> PermanentError:
    with pytest.raises(PermanentError) as caught:
        settings()
    assert caught.value.code is ErrorCode.INVALID_SETTING
    return caught.value


@pytest.mark.parametrize(
    "name",
    [
        "MAX_PIXELS", "MAX_BYTES", "TIME_LIMIT", "VISIBILITY_TIMEOUT", "RETRY_BUDGET",
        "RETRY_DELAY", "WINDOW", "LOG_FORMAT", "LOG_LEVEL", "FLOWER_PORT",
        "WEBHOOK_SECRET",
    ],
)  # fmt: skip
def test_an_invalid_value_is_refused_with_the_variables_name_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, name: str
):
    monkeypatch.setenv("CUTOUT_REDIS_URL", "redis://:hunter2@redis/0")
    monkeypatch.setenv(f"CUTOUT_{name}", "hunter3")
    error = settings_error()
    assert f"CUTOUT_{name}" in str(error)
    assert "hunter" not in "".join(traceback.format_exception(error))
    with pytest.raises(ValueError, match="1 validation error") as raw:
        Settings()
    assert "hunter" not in str(raw.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_PIXELS", "0"), ("MAX_BYTES", "-1"), ("MAX_PIXELS", "1.5"), ("TIME_LIMIT", "0"),
        ("TIME_LIMIT", "nan"), ("VISIBILITY_TIMEOUT", "inf"), ("RETRY_BUDGET", "-1"),
        ("RETRY_DELAY", "0"), ("WINDOW", "0"), ("FLOWER_PORT", "65536"), ("LOG_FORMAT", "xml"),
        ("URL_ALLOWLIST", "10.0.0.0/33"), ("URL_ALLOWLIST", "a.example, https://b.example"),
        ("PROVIDERS", "gpu"), ("PROVIDERS", "cuda,cuda"), ("PROVIDERS", "cpu,cuda"),
        ("PROVIDERS", "openvino,cuda"), ("PROVIDERS", ","),
        ("S3_ENCRYPTION", "none"), ("S3_REQUESTER_PAYS", "sometimes"),
        ("WEBHOOK_SECRET", "whsec_c2hvcnQ="), ("WEBHOOK_SECRET", "whsec_" + "A" * 31),
        ("WEBHOOK_SECRET", "A" * 32), ("WEBHOOK_SECRET", "whsec_" + "A" * 88 + "," + "B" * 32),
        ("WEBHOOK_SECRET", "whsk_" + "A" * 32), ("WEBHOOK_SECRET", "whsec_" + "-" * 32),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str):
    monkeypatch.setenv(f"CUTOUT_{name}", value)
    assert f"CUTOUT_{name}" in str(settings_error())


@pytest.mark.parametrize(("limit", "visibility"), [("300", "300"), ("301", "300"), ("120", "60")])
def test_a_time_limit_above_the_visibility_timeout_is_refused(
    monkeypatch: pytest.MonkeyPatch, limit: str, visibility: str
):
    # or an image still being processed would be delivered again
    monkeypatch.setenv("CUTOUT_TIME_LIMIT", limit)
    monkeypatch.setenv("CUTOUT_VISIBILITY_TIMEOUT", visibility)
    error = settings_error()
    assert "CUTOUT_TIME_LIMIT" in str(error)
    assert "CUTOUT_VISIBILITY_TIMEOUT" in str(error)


def test_a_retry_delay_above_half_the_visibility_timeout_is_refused(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("CUTOUT_RETRY_DELAY", "151")
    error = settings_error()
    assert "CUTOUT_RETRY_DELAY must be at most half of CUTOUT_VISIBILITY_TIMEOUT" in str(error)


def test_defaults_and_values_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CUTOUT_MODEL_DIR", raising=False)
    config = settings()
    assert (config.max_pixels, config.max_bytes) == (100_000_000, 256 * 1024**2)
    assert (config.redis_url, config.model_source) == (None, None)
    assert settings() is config
    monkeypatch.setenv("CUTOUT_MAX_PIXELS", "7")
    monkeypatch.setenv("CUTOUT_MODEL_DIR", "/models")
    monkeypatch.setenv("CUTOUT_LOG_FORMAT", "json")
    settings.cache_clear()
    config = settings()
    assert (config.max_pixels, config.model_dir, config.log_format) == (7, Path("/models"), "json")


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch):
    # as `CUTOUT_REDIS_URL=` in a .env file, or `${CUTOUT_REDIS_URL:-}` in a compose file
    for name in ("REDIS_URL", "MAX_PIXELS", "LOG_FORMAT", "MODEL_SOURCE"):
        monkeypatch.setenv(f"CUTOUT_{name}", "")
    assert settings().redis_url is None
    assert settings().max_pixels == 100_000_000


def test_a_redis_address_requires_a_redis_url():
    with pytest.raises(PermanentError, match="CUTOUT_REDIS_URL"):
        Settings().require_redis_address()


def test_a_redis_url_is_refused_by_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUTOUT_REDIS_URL", "http://:hunter2@redis")
    error = settings_error()
    assert error.message.startswith("CUTOUT_REDIS_URL: write redis://")
    assert "hunter2" not in "".join(traceback.format_exception(error))


def test_a_missing_ca_file_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("CUTOUT_REDIS_URL", "rediss://redis")
    monkeypatch.setenv("CUTOUT_REDIS_CA", str(tmp_path / "ca.pem"))
    message = settings_error().message
    assert (
        message == f"CUTOUT_REDIS_CA: {tmp_path}/ca.pem cannot be read (No such file or directory)."
    )


def test_a_ca_without_tls_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    tls(tmp_path, "redis")
    monkeypatch.setenv("CUTOUT_REDIS_CA", str(tmp_path / "server.pem"))
    monkeypatch.setenv("CUTOUT_REDIS_URL", "redis://redis")
    assert "begins with rediss://" in settings_error().message
    monkeypatch.setenv("CUTOUT_REDIS_URL", "rediss://redis")
    settings.cache_clear()
    assert settings().require_redis_address().ca_file == tmp_path / "server.pem"


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch):
    assert (settings().url_allowlist, settings().webhook_secret) == ((), ())
    settings.cache_clear()
    first, second = "whsec_" + "A" * 32, "whsec_" + "B" * 84 + "BA=="
    monkeypatch.setenv("CUTOUT_URL_ALLOWLIST", " receiver.internal, 10.0.0.0/8,::1,")
    monkeypatch.setenv("CUTOUT_WEBHOOK_SECRET", f"{first},{second}")
    assert settings().url_allowlist == ("receiver.internal", "10.0.0.0/8", "::1")
    assert settings().webhook_secret == (first, second)
    assert "whsec" not in repr(settings())


def test_every_setting_has_a_description_for_the_reference():
    for name, field in Settings.model_fields.items():
        assert (field.description or "").endswith("."), name


def test_a_kms_key_without_encryption_by_kms_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUTOUT_S3_KMS_KEY", "alias/photographs")
    monkeypatch.setenv("CUTOUT_S3_ENCRYPTION", "AES256")
    assert "CUTOUT_S3_KMS_KEY has no effect" in str(settings_error())


@pytest.mark.parametrize(
    ("value", "providers"),
    [
        ("", ("cpu",)),
        ("openvino, cpu", ("openvino", "cpu")),
        ("tensorrt,cuda", ("tensorrt", "cuda")),
    ],
)
def test_providers_keep_their_order(monkeypatch: pytest.MonkeyPatch, value: str, providers):
    monkeypatch.setenv("CUTOUT_PROVIDERS", value)
    assert Settings().providers == providers
