import json
import logging

import pytest
import structlog

from contract import log
from contract.settings import Settings


@pytest.fixture
def own_logging():
    """Lets a test configure logging, and puts back what was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_a_traceback_shows_no_secret(own_logging, capsys, monkeypatch) -> None:
    monkeypatch.setenv("CUTOUT_REDIS_URL", "redis://:S3CRET@host/0")
    for form in ("human", "json"):
        monkeypatch.setenv("CUTOUT_LOG_FORMAT", form)
        config = Settings()
        log.configure(config)
        try:
            {}["some key"]
        except KeyError as error:
            structlog.get_logger().error("unexpected", exc_info=error)
        said = capsys.readouterr().err
        assert "KeyError" in said
        assert "S3CRET" not in said + repr(config)
    assert json.loads(said)["event"] == "unexpected"
