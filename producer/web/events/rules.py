"""Rules: which announced objects become cutouts, and where their outputs go."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from contract import names
from contract.errors import ErrorCode, PermanentError
from contract.paths import expand
from contract.quality import DEFAULT, Quality
from contract.recipe import recipe_for
from contract.rendition import PLAIN, Rendition
from contract.storage import canonical_location
from contract.validation import first_error
from producer.web.events.object_event import ObjectEvent


class Rule(BaseModel):
    """New photographs below a prefix of a bucket are cut out and written below a destination."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bucket: str = Field(min_length=1)
    prefix: str = Field("", description="only keys that start with it; empty: all keys")
    destination: str = Field(
        pattern="^s3://.", description="s3://bucket/prefix; folders below `prefix` are kept"
    )
    model: str | None = Field(None, description="default: the server's model")
    rendition: Rendition = PLAIN
    quality: Quality = DEFAULT

    def output(self, key: str) -> str:
        """Return the location of the output of an object."""
        relative_key = key.removeprefix(self.prefix)
        if self.prefix and not self.prefix.endswith("/"):
            relative_key = relative_key.removeprefix("/")
        return f"{self.destination}/{names.output_key(relative_key, self.rendition.suffix)}"


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
        if rule.model:
            recipe_for(rule.model)
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
    if names.RESERVED in event.key.split("/"):
        return None
    matching = (r for r in rules if r.bucket == event.bucket and event.key.startswith(r.prefix))
    return next(matching, None)
