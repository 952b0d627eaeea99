"""Structured logs: events with fields, in a form for humans or as JSON."""

import logging
import socket
import sys
from typing import Any

import structlog
from structlog.tracebacks import ExceptionDictTransformer

from contract.settings import Settings

LIBRARY_LEVELS = {
    # we log the same events with the photograph's key
    "celery.app.trace": logging.ERROR,
    # a child that died: we log the cause, without a traceback
    "celery.worker.request": logging.CRITICAL,
    "celery.worker.strategy": logging.WARNING,
    "botocore": logging.WARNING,
    "boto3": logging.WARNING,
    "urllib3": logging.ERROR,  # its retry warnings contain URLs, which may be signed
    "s3transfer": logging.WARNING,
    "PIL": logging.WARNING,
    "amqp": logging.WARNING,
    # it asks workers by remote control, which is off, and warns that none answers
    "flower.inspector": logging.ERROR,
    # we log when traces are not sent; its errors may contain the URL
    "opentelemetry": logging.CRITICAL,
}
"""logger -> the least severe level that is logged."""


def configure(config: Settings, worker: str = "") -> None:
    """Send every log line, ours and those of libraries, to standard error in one form.

    `worker`: name of the worker that logs, if one does; its children inherit it.
    """
    shared: list[Any] = [
        _origin(worker),
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.PositionalArgumentsFormatter(),
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(config.log_format),
            ],
        )
    )
    handler.addFilter(_shorten_redis_error)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(config.log_level.upper())
    logging.captureWarnings(True)
    # billiard ends the propagation of its logger, and Python then prints its lines unformatted
    billiard = logging.getLogger("multiprocessing")
    billiard.handlers[:], billiard.propagate = [handler], False
    for name, level in LIBRARY_LEVELS.items():
        logging.getLogger(name).setLevel(level)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _origin(worker: str) -> structlog.types.Processor:
    """Return a processor that adds to each line the host, and the worker that logs it."""
    origin = {"host": socket.gethostname()} | ({"worker": worker} if worker else {})

    def add_origin(_: Any, __: str, line: structlog.types.EventDict) -> structlog.types.EventDict:
        return {**origin, **line}

    return add_origin


def _renderers(log_format: str) -> list[Any]:
    """Return the last processors. Tracebacks omit local variables, which may contain passwords."""
    if log_format == "json":
        return [
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(),
        ]
    return [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    ]


def _shorten_redis_error(record: logging.LogRecord) -> bool:
    """Replace a library's traceback of a Redis error by the error's name.

    The traceback says no more than that Redis is unavailable, and the error's text may contain the
    URL.
    """
    error = record.exc_info[0] if record.exc_info else None
    if error and error.__module__.startswith("redis."):
        record.msg, record.args = f"{record.getMessage()} ({error.__name__})", ()
        record.exc_info = record.exc_text = None
    return True
