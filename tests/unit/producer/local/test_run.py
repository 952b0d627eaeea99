"""What `cutout up` prints."""

import pytest

from contract.settings import settings
from producer.local import run
from producer.local.stack import Stack

GIVEN = "redis://:secret@redis.internal:6379/0"
OWN = "unix:///tmp/cutout-x/redis.sock"


@pytest.mark.parametrize(
    ("given", "shown"), [(GIVEN, "the same CUTOUT_REDIS_URL:"), (None, f"CUTOUT_REDIS_URL={OWN}\n")]
)
def test_the_url_of_a_redis_of_the_users_is_not_shown(
    monkeypatch, capsys, tmp_path, given: str | None, shown: str
) -> None:
    if given:
        monkeypatch.setenv("CUTOUT_REDIS_URL", given)
    monkeypatch.setenv("CUTOUT_STATE_DIR", str(tmp_path / "[/a]"))
    settings.cache_clear()

    def enter(stack: Stack) -> Stack:
        stack.redis_url = stack.redis_url or OWN
        return stack

    def interrupt(_: Stack) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "ensure_weights", lambda _: None)
    monkeypatch.setattr(Stack, "__enter__", enter)
    monkeypatch.setattr(Stack, "__exit__", lambda *_: None)
    monkeypatch.setattr(Stack, "check", interrupt)
    run.stay_up(None, None)
    printed = capsys.readouterr().err
    assert shown in printed
    assert "secret" not in printed
    assert f"Logs:   {tmp_path}/[/a]/" in printed
