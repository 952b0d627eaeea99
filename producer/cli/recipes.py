"""`cutout recipes`: the presets, and the recipes that users write."""

import json
from typing import Annotated

import typer
import yaml
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from contract.output_keys import output_key
from contract.presets import PRESETS
from producer.cli.options import AsJson
from producer.recipes.document import RecipeDocument, read

app = typer.Typer()
recipes = typer.Typer(
    no_args_is_help=True, help="List presets, print a recipe, check a recipe's file."
)
app.add_typer(recipes, name="recipes")

Name = Annotated[
    str, typer.Argument(metavar="FILE|PRESET", help="A recipe's file, or a preset's name.")
]


@recipes.command("list")
def list_presets(as_json: AsJson = False) -> None:
    """List the presets: recipes that come with cutout."""
    if as_json:
        rows = [{"name": name, "summary": preset.summary} for name, preset in PRESETS.items()]
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table(box=SIMPLE)
    table.add_column("preset", no_wrap=True)
    table.add_column("makes")
    for name, preset in PRESETS.items():
        table.add_row(name, preset.summary)
    Console().print(table)


@recipes.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Print a recipe as YAML, or as JSON: save it as a file, and change it.

    Fields with their defaults are left out.
    """
    document = read(name)
    fields = document.model_dump(mode="json", exclude_defaults=True, exclude={"renditions"})
    renditions = [
        rendition.model_dump(mode="json", exclude_defaults=True) or {"format": rendition.format}
        for rendition in document.renditions
    ]
    fields["renditions"] = renditions
    if as_json:
        typer.echo(json.dumps(fields, indent=2))
    else:
        typer.echo(yaml.safe_dump(fields, sort_keys=False), nl=False)


@recipes.command()
def check(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A YAML or JSON file.")],
) -> None:
    """Check a recipe's file, and say what it makes.

    Exit status: 0 it is valid; 1 it is not: the message names the line and the field.
    """
    document = read(file)
    typer.echo(f"{file} is valid. It makes of a/b.jpg:")
    for line in outputs_text(document):
        typer.echo(f"  {line}")


def outputs_text(document: RecipeDocument) -> list[str]:
    """Return a line for each rendition: what it is called and where it is written."""
    return [
        output_key(document, rendition)("a/b.jpg")
        + (f" ({rendition.name})" if rendition.name else "")
        for rendition in document.renditions
    ]
