"""Arguments and options that several verbs share, and what every verb of a cluster starts with."""

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

import typer

from contract.errors import ErrorCode, PermanentError
from contract.ledger.redis_ledger import RedisLedger
from contract.quality import Quality, Refinement
from contract.recipe import Recipe, recipe_for
from contract.settings import settings
from producer.recipes.document import RecipeDocument, of_presets, read

Text = TypeVar("Text", str, list[str], None)


def require_unicode(given: Text) -> Text:
    """Return an option's text, or texts. Raises typer.BadParameter if one is not Unicode.

    An argument may hold any bytes, which Python reads as surrogates.
    """
    texts: list[str] = [given] if isinstance(given, str) else given or []
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise typer.BadParameter(f"{text!r} is not Unicode.") from None
    return given


Source = Annotated[
    str,
    typer.Argument(
        metavar="SRC",
        help="Where the photographs are: a folder, one photograph, or s3://bucket/prefix.",
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
Refine = Annotated[
    Refinement | None,
    typer.Option(
        "--refine",
        help="`edges` (default): fit the matte, which is the transparency, to the photograph's"
        " edges; `none`: enlarge it as it is.",
        show_default=False,
    ),
]
Passes = Annotated[
    int | None,
    typer.Option(
        "--passes",
        min=1,
        max=2,
        help="2 (default): the network looks again, at the subject alone, for finer detail, unless"
        " it is unsure where the subject is.",
        show_default=False,
    ),
]
Decontaminate = Annotated[
    bool | None,
    typer.Option(
        help="Remove the background's colour from soft edges (default: yes, with `--refine none`"
        " no).",
        show_default=False,
    ),
]
RecipeName = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        metavar="FILE|PRESET",
        help="Make the renditions of a recipe: a YAML or JSON file, or a preset's name; see"
        " `cutout recipes`. Not together with `--preset`, `--refine`, `--passes` or"
        " `--decontaminate`.",
    ),
]
PresetNames = Annotated[
    list[str] | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        help="Make the rendition of a preset; see `cutout recipes`. May be repeated: all are made"
        " from one inference, and the outputs of a/b.jpg are a/b.NAME.EXTENSION; of a single"
        " preset, a/b.EXTENSION. Not together with `--recipe`, `--refine`, `--passes` or"
        " `--decontaminate`.",
    ),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Process images again even if their output is current: made from the same bytes with"
        " the same model and options.",
    ),
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
PricePerCoreHour = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="PRICE",
        help="With --summary: the price of one CPU core for one hour, in any currency, such as"
        " 0.04; prints the cost of the CPU time as well.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


CLI_RETRIES = 2
"""Retries of a failed Redis call: few, because a user is waiting for the answer."""


@dataclass(frozen=True, slots=True)
class RecipeOptions:
    """The options that say what is made of each photograph; None: not given."""

    model: str | None = None
    refine: Refinement | None = None
    passes: int | None = None
    decontaminate: bool | None = None
    recipe: str | None = None
    presets: Sequence[str] | None = None

    def chosen(self) -> Recipe:
        """Return the recipe. Those of the options that are not given have their defaults.

        Raises PermanentError (`model_unknown`, `invalid_recipe`, `recipe_unknown`).
        """
        quality = {
            name: value
            for name in ("refine", "passes", "decontaminate")
            if (value := getattr(self, name)) is not None
        }
        model = self.model or settings().model
        document = chosen_document(self.recipe, self.presets)
        if document is None:
            return recipe_for(model, quality=Quality.model_validate(quality))
        if quality:
            raise _combined(f"--{next(iter(quality))}", "Write it into a recipe's `quality`.")
        if self.model and document.model:
            raise _combined("--model", "Remove one of the two models.")
        return document.recipe(model)


def chosen_document(recipe: str | None, presets: Sequence[str] | None) -> RecipeDocument | None:
    """Return the recipe that `--recipe` or `--preset` names, or None if neither is given.

    Raises PermanentError (`invalid_recipe`, `recipe_unknown`).
    """
    if recipe is None:
        return of_presets(presets) if presets else None
    if presets:
        raise _combined("--preset", "Copy its rendition into the recipe.")
    return read(recipe)


def _combined(option: str, what_to_do: str) -> PermanentError:
    return PermanentError(
        ErrorCode.INVALID_RECIPE, f"{option} cannot be combined with this recipe. {what_to_do}"
    )


def open_ledger() -> RedisLedger:
    """Return the ledger at CUTOUT_REDIS_URL. Raises PermanentError if that is not set."""
    return RedisLedger(settings().require_redis_address(), retries=CLI_RETRIES)


def open_ledger_of(batch: str) -> RedisLedger:
    """Return the ledger. Raises PermanentError (`batch_unknown`, `batch_conflict`: a cutout)."""
    ledger = open_ledger()
    if ledger.batches.progress(batch).spec.cutout:
        raise PermanentError(
            ErrorCode.BATCH_CONFLICT,
            f"{batch} is a cutout, not a batch: use GET /v1/cutouts/{batch} of the API.",
        )
    return ledger


def enable_ctrl_c() -> None:
    """Let SIGINT interrupt this process even if it was started with SIGINT ignored.

    Scripts' background jobs, `nohup` and some service managers start programs that way, and Python
    then installs no handler of its own.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
