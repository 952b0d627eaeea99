import json
import logging
import socket
import warnings

import pytest
import structlog

from contract import log
from contract.settings import Settings


@pytest.fixture
def own_logging():
    """Lets a test configure logging, and puts back what was."""
    logging.captureWarnings(False)  # else doing so again has no effect
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
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


def test_every_line_has_its_host_and_its_worker(own_logging, capsys, monkeypatch) -> None:
    monkeypatch.setenv("CUTOUT_LOG_FORMAT", "json")
    for worker in ("", "bulk.u2netp.p1-7@here"):
        log.configure(Settings(), worker)
        structlog.get_logger().warning("ours", batch="b-1")
        logging.getLogger("library").warning("theirs")
        for line in map(json.loads, capsys.readouterr().err.splitlines()):
            assert line["host"] == socket.gethostname()
            assert line.get("worker", "") == worker


def test_flower_is_silent_about_workers_that_obey_no_remote_control(
    own_logging, capsys, monkeypatch
) -> None:
    monkeypatch.setattr(logging.getLogger("flower.inspector"), "level", logging.NOTSET)
    log.configure(Settings())
    logging.getLogger("flower.inspector").warning("Inspect method stats failed")
    logging.getLogger("flower.events").warning("anything else")
    said = capsys.readouterr().err
    assert "Inspect" not in said
    assert "anything else" in said


def test_a_warning_of_python_is_a_line_as_any_other(own_logging, capsys, monkeypatch) -> None:
    monkeypatch.setenv("CUTOUT_LOG_FORMAT", "json")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        log.configure(Settings())
        warnings.warn("run as root", RuntimeWarning, stacklevel=1)
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["logger"]) == ("warning", "py.warnings")
    assert "run as root" in line["event"]
