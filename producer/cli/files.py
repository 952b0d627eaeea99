"""The verbs of what batches leave in their destinations: restore batches from it, or delete it."""

from typing import Annotated

import typer

from contract.errors import CutoutError
from contract.settings import settings
from contract.stored import is_newer_release
from producer.cli.options import Destination, open_ledger

app = typer.Typer()

SECONDS_PER_DAY = 24 * 3600


@app.command()
def rebuild(
    locations: Annotated[
        list[str],
        typer.Argument(
            metavar="[ID] DST",
            help="The batch, and the destination where its outputs are written. With `--all`, only"
            " the destination.",
        ),
    ],
    every: Annotated[
        bool,
        typer.Option("--all", help="Restore all batches below DST that are not closed."),
    ] = False,
) -> None:
    """Restore batches that Redis has lost, from the files below their destination.

    `cutout rebuild ID DST` restores that batch, closed or not; `cutout rebuild --all DST` every
    batch below DST that is not closed. Finished images are not processed again. A batch that was
    paused or being cancelled becomes open. Cutouts of the API are restored by `cutout serve`.
    """
    from producer.batches import rebuild as rebuilding  # noqa: PLC0415 - the other verbs start faster

    if len(locations) != (1 if every else 2):
        raise typer.BadParameter("write `cutout rebuild ID DST` or `cutout rebuild --all DST`")
    ledger = open_ledger()
    ledger.ping()
    destination = locations[-1]
    damaged = _Damaged()
    if every:
        restored = rebuilding.rebuild_all(ledger, destination, damaged)
    else:
        restored = iter([rebuilding.rebuild(ledger, locations[0], destination)])
    count = 0
    for spec, settled in restored:
        count += 1
        typer.echo(
            f"{spec.id} continues: {settled:,} of {spec.total:,} images have an outcome. Others"
            " whose output exists are recognised, and not processed again."
        )
    if every:
        typer.echo(f"{count:,} batches restored.")
    damaged.exit()


@app.command()
def prune(
    destination: Destination,
    days: Annotated[
        int,
        typer.Option(
            "--older-than",
            min=0,
            metavar="DAYS",
            help="Only batches that were closed more than DAYS days ago.",
        ),
    ],
) -> None:
    """Delete cutout's own files of batches that were closed long ago: manifests, outcomes, reports.

    Outputs are never deleted, nor the files of a batch that is not closed. A pruned batch can
    neither be retried nor audited. If CUTOUT_REDIS_URL is set, Redis forgets the batch too.
    """
    from producer.batches import prune as pruning  # noqa: PLC0415

    ledger = open_ledger() if settings().redis_url else None
    count = size = 0
    damaged = _Damaged()
    for pruned in pruning.prune(ledger, destination, days * SECONDS_PER_DAY, damaged):
        count, size = count + 1, size + pruned.size
        typer.echo(f"{pruned.batch}: {pruned.files:,} files deleted.")
    typer.echo(f"{count:,} batches pruned, {size / 1e6:,.1f} MB.")
    damaged.exit()


class _Damaged:
    """Names batches that cannot be read while the others are handled; then exits with status 1."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, batch: str, error: Exception) -> None:
        self._count += 1
        reason = error.message if isinstance(error, CutoutError) else type(error).__name__
        what = "it cannot be read" if is_newer_release(error) else "its files are damaged"
        typer.echo(f"{batch}: left as it is: {what} ({reason}).", err=True)

    def exit(self) -> None:
        if self._count:
            raise typer.Exit(1)
