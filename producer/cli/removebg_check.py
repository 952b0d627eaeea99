"""`cutout removebg-check`."""

from pathlib import Path
from typing import Annotated

import typer

from contract import names

app = typer.Typer()


@app.command("removebg-check")
def removebg_check(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="The server, such as http://127.0.0.1:8080.")
    ],
    photograph: Annotated[
        Path,
        typer.Argument(
            metavar="PHOTO",
            exists=True,
            dir_okay=False,
            readable=True,
            help="A photograph with a subject, which is sent to the server.",
        ),
    ],
    key: Annotated[
        str,
        typer.Option(
            "--key", envvar="REMOVE_BG_API_KEY", help="An API key, if the server requires one."
        ),
    ] = "",
) -> None:
    """Check that a server answers clients of remove.bg as they expect, by about 30 requests.

    Exit status: 0 every check passed; 3 some did not (one line for each).
    """
    from producer.web.removebg.check import Server, run_checks  # noqa: PLC0415 - the other verbs start faster

    passed = total = 0
    for name, reason in run_checks(Server(url, key, photograph.read_bytes())):
        total += 1
        passed += not reason
        typer.echo(f"FAILED  {name}: {names.printable(reason)}" if reason else f"ok      {name}")
    typer.echo(f"{passed} of {total}")
    raise typer.Exit(0 if passed == total else 3)
