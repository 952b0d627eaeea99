"""`cutout health`."""

from typing import Annotated

import typer

from contract.settings import settings
from worker.supervision import heartbeat

Ready = Annotated[
    bool,
    typer.Option(
        "--ready",
        help="Also require a loaded model, a connection to Redis, and not to be out of rotation.",
    ),
]


def health(ready: Ready = False) -> None:
    """Check that the workers on this machine are alive or, with --ready, also ready.

    Reads their heartbeat files. A worker that waits for Redis, or that is out of rotation because
    its images fail where other workers succeed, is alive but not ready.

    Exit status: 0 all workers are alive (with --ready: and ready); 1 at least one is not, or none
    is running.
    """
    for beat in heartbeat.check(heartbeat.heartbeat_folder(settings()), ready=ready):
        typer.echo(
            f"worker {beat.pid}: {'ready' if beat.ready else 'not ready'}, {beat.queue}, "
            f"{beat.children} children, last heartbeat {beat.age:.0f} s ago"
        )
        if beat.out_of_rotation:
            typer.echo(f"worker {beat.pid}: out of rotation. {beat.out_of_rotation}")
