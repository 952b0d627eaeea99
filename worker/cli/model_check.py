"""`cutout models check`."""

from typing import Annotated

import typer

from contract.errors import ErrorCode, PermanentError
from contract.paths import expand
from contract.settings import CPU, settings
from worker.models import registry, weights

Name = Annotated[
    str | None,
    typer.Argument(metavar="[NAME]", help="A model's name (default: that of CUTOUT_MODEL)."),
]


def check(name: Name = None) -> None:
    """Compare the mattes of the execution providers in CUTOUT_PROVIDERS with those of `cpu`.

    Also measures the CPU time of both, on one thread. Run it once on each type of machine.

    Outputs of some providers record which one made them; those of others count as made by `cpu`, so
    their mattes must be the same.

    Exit status: 0 the mattes are what the outputs say; 1 a provider is missing, or its mattes
    differ although its outputs count as made by `cpu`: remove it from CUTOUT_PROVIDERS.
    """
    from worker.models.provider_check import compare  # noqa: PLC0415 - imports ONNX Runtime
    from worker.models.providers import (  # noqa: PLC0415
        MAX_LEVELS,
        provider_mark,
        require_installed,
    )

    config = settings()
    require_installed(config.providers)
    model, folder = registry.find(name or config.model), expand(config.model_dir)
    weights.verify(folder / model.file, model)
    providers = ",".join(config.providers)
    if config.providers == (CPU,):
        typer.echo(f"{model.name}: computed by cpu, so there is nothing to compare.")
        return
    result = compare(model, folder / model.file, config.providers)
    mark = provider_mark(model, config.providers)
    difference = (
        f"{model.name}: mattes of {providers} differ from those of cpu by up to"
        f" {result.levels:.2g} levels of 255"
    )
    if not mark and result.levels > MAX_LEVELS:
        raise PermanentError(
            ErrorCode.PROVIDER_DIFFERS, f"{difference}; at most {MAX_LEVELS} is allowed."
        )
    meaning = f"outputs are marked {mark!r}" if mark else "outputs count as the same"
    typer.echo(
        f"{difference}, so {meaning}. {result.milliseconds:.0f} ms of CPU time against"
        f" {result.cpu_milliseconds:.0f}."
    )
