"""`cutout key`."""

from typing import Annotated

import typer

from contract.settings import settings
from producer.web import api_keys
from producer.web.api_keys import Scope

app = typer.Typer()


@app.command()
def key(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Who will use the key, such as a shop's name.")
    ],
    scope: Annotated[
        list[Scope],
        typer.Option(
            "--scope",
            help="What the key permits: submit (create and delete cutouts, not batches), read"
            " (progress, outputs and reports) or admin (create and control batches). None includes"
            " another. May be repeated.",
        ),
    ] = [Scope.SUBMIT, Scope.READ],  # noqa: B006 - Typer copies it
) -> None:
    """Create an API key, print it once, and add its digest to the file CUTOUT_API_KEYS."""
    typer.echo(api_keys.add(settings(), name, scope))
