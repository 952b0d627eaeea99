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
        str,
        typer.Argument(
            metavar="NAME",
            help="Who will use the key, such as a shop: a new name of letters, digits and"
            " underscores.",
        ),
    ],
    scope: Annotated[
        list[Scope],
        typer.Option(
            "--scope",
            help="What the key permits: submit (create and delete cutouts, not batches), read"
            " (progress, outputs and reports) or admin (create and control batches). None includes"
            " another. For several, repeat the option; it replaces the default.",
        ),
    ] = [Scope.SUBMIT, Scope.READ],  # noqa: B006 - Typer copies it
) -> None:
    """Create an API key, print it once, and add its digest to the file that CUTOUT_API_KEYS names.

    Restart `cutout serve` to admit it. To revoke a key, delete its line in the file and restart.
    """
    typer.echo(api_keys.add(settings(), name, scope))
