"""Rules: which announced objects become cutouts, and where their outputs go."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from contract import names
from contract.errors import ErrorCode, PermanentError
from contract.output_keys import output_key
from contract.paths import expand
from contract.recipe import known_model
from contract.storage import canonical_location
from contract.validation import first_error
from producer.recipes.document import RecipeDocument
from producer.recipes.fields import RenditionChoice
from producer.web.events.object_event import ObjectEvent


class Rule(RenditionChoice):
    """New photographs below a prefix of a bucket are cut out and written below a destination."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bucket: str = Field(min_length=1)
    prefix: str = Field("", description="only keys that start with it; empty: all keys")
    destination: str = Field(
        pattern="^s3://.", description="s3://bucket/prefix; folders below `prefix` are kept"
    )
    model: str | None = Field(None, description="default: the server's model")

    @model_validator(mode="after")
    def _has_keys_it_can_write(self) -> Self:
        if self.document.has_keys and not self.document.is_single:
            raise ValueError("a rule with several renditions names them itself: remove key")
        if self.document.policy.reviews:
            raise ValueError("a rule has one destination: `deliver` or `fail`, not `review`")
        return self

    @property
    def document_without_keys(self) -> RecipeDocument:
        """The recipe of the cutouts, to which `output` gives their keys."""
        document = self.document
        renditions = (each.model_copy(update={"key": None}) for each in document.renditions)
        return document.model_copy(update={"renditions": tuple(renditions)})

    def output(self, key: str) -> str:
        """Return the location of the output of an object; of several, as their destination.

        Raises PermanentError (`unsafe_key`) if that is in a folder of ours.
        """
        relative_key = key.removeprefix(self.prefix)
        if self.prefix and not self.prefix.endswith("/"):
            relative_key = relative_key.removeprefix("/")
        first = self.document.renditions[0]
        named = output_key(RecipeDocument(renditions=(first,)), first)
        output = named(relative_key)
        if names.is_reserved(output):
            message = f"Its output would be {names.printable(output)!r}."
            raise PermanentError(ErrorCode.UNSAFE_KEY, message)
        return f"{self.destination}/{output}"


def load_rules(path: Path | None) -> list[Rule]:
    """Read the rules from a JSON file. Raises PermanentError.

    The codes are `invalid_setting`, `invalid_location`, `overlapping_locations`, `model_unknown`.
    """
    if path is None:
        return []
    try:
        rules = TypeAdapter(list[Rule]).validate_json(expand(path).read_bytes())
    except OSError as error:
        raise _invalid(f"{path} cannot be read ({error.strerror}).") from None
    except ValidationError as error:
        raise _invalid(f"{path}: {first_error(error).sentence}") from None
    for rule in rules:
        for model in filter(None, (rule.model, rule.document.model)):
            known_model(model)
        if f"s3://{rule.bucket}/{rule.prefix}".startswith(f"{rule.destination.rstrip('/')}/"):
            raise PermanentError(
                ErrorCode.OVERLAPPING_LOCATIONS,
                f"CUTOUT_EVENT_RULES: the prefix {rule.prefix!r} of {rule.bucket} is below the"
                f" destination {rule.destination}, where every object is taken to be an output.",
            )
    return [
        rule.model_copy(update={"destination": canonical_location(rule.destination)})
        for rule in rules
    ]


def _invalid(message: str) -> PermanentError:
    return PermanentError(ErrorCode.INVALID_SETTING, f"CUTOUT_EVENT_RULES: {message}")


def rule_for(rules: Sequence[Rule], event: ObjectEvent) -> Rule | None:
    """Return the first rule that matches an object, or None if the object is an output.

    An output that became a cutout would be announced in turn, and so on forever.
    """
    location = f"s3://{event.bucket}/{event.key}"
    if any(location.startswith(f"{rule.destination}/") for rule in rules):
        return None
    if not names.is_image(event.key) or names.is_companion(event.key):
        return None
    if {names.RESERVED, names.REVIEW} & {*event.key.split("/")}:
        return None
    matching = (r for r in rules if r.bucket == event.bucket and event.key.startswith(r.prefix))
    return next(matching, None)
