"""Arguments and options that several verbs share, and what every verb of a cluster starts with."""

import signal
from typing import Annotated

import typer

from contract.ledger.redis_ledger import RedisLedger
from contract.settings import settings

Source = Annotated[
    str,
    typer.Argument(
        metavar="SRC", help="Where the photographs are: a folder or s3://bucket/prefix."
    ),
]
Destination = Annotated[
    str,
    typer.Argument(
        metavar="DST", help="Where the outputs are written: a folder or s3://bucket/prefix."
    ),
]
BatchId = Annotated[
    str, typer.Argument(metavar="ID", help="A batch ID, as printed by `cutout submit`.")
]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        help="A model from `cutout models list` (default: the setting CUTOUT_MODEL).",
    ),
]
Force = Annotated[
    bool,
    typer.Option("--force", help="Process images again even if their output is current."),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        "-w",
        min=1,
        metavar="N",
        help="Worker processes (default: one per CPU plus one per four CPUs).",
    ),
]
NotBefore = Annotated[
    str | None,
    typer.Option(
        "--not-before",
        metavar="TIME",
        help="Start no image before TIME: 22:00 (the next one, in this machine's time zone),"
        " 2026-01-31T22:00 or 2026-01-31T22:00:00+01:00.",
    ),
]
Deadline = Annotated[
    str | None,
    typer.Option(
        "--deadline",
        metavar="TIME",
        help="Say so in `status`, log and metrics if the batch will not be finished by TIME, such"
        " as 06:00 (the next one after its start).",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

CLI_RETRIES = 2
"""Retries of a failed Redis call: few, because a user is waiting for the answer."""


def open_ledger() -> RedisLedger:
    """Return the ledger at CUTOUT_REDIS_URL. Raises PermanentError if that is not set."""
    return RedisLedger(settings().require_redis_url(), retries=CLI_RETRIES)


def enable_ctrl_c() -> None:
    """Let SIGINT interrupt this process even if it was started with SIGINT ignored.

    Scripts' background jobs, `nohup` and some service managers start programs that way, and Python
    then installs no handler of its own.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
