"""Which announced objects are cut out, and where their outputs go."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from contract import names
from contract.errors import ErrorCode, PermanentError
from contract.rendition import PLAIN, Rendition
from contract.storage import canonical_location
from producer.web.events.notification import ObjectEvent


class Rule(BaseModel):
    """New photographs below a bucket's prefix go to a destination, folders kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bucket: str = Field(min_length=1)
    prefix: str = ""
    destination: str = Field(pattern="^s3://.")
    model: str | None = None
    rendition: Rendition = PLAIN

    def output(self, key: str) -> str:
        below = key.removeprefix(self.prefix).lstrip("/")
        return f"{self.destination}/{names.output_key(below, self.rendition.suffix)}"


def load_rules(path: Path | None) -> list[Rule]:
    """Read the rules. Raises PermanentError (`invalid_setting`)."""
    if path is None:
        return []
    try:
        rules = TypeAdapter(list[Rule]).validate_json(path.expanduser().read_bytes())
    except OSError as error:
        why = f"{path} cannot be read ({error.strerror})"
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        why = f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}"
    else:
        for rule in rules:
            if f"s3://{rule.bucket}/{rule.prefix}".startswith(f"{rule.destination.rstrip('/')}/"):
                raise PermanentError(
                    ErrorCode.OVERLAPPING_LOCATIONS,
                    f"CUTOUT_EVENT_RULES: all below {rule.destination} counts as ours, and"
                    f" {rule.prefix!r} of {rule.bucket} lies there.",
                )
        return [rule.model_copy(update={"destination": canonical_location(rule.destination)})
                for rule in rules]  # fmt: skip
    raise PermanentError(ErrorCode.INVALID_SETTING, f"CUTOUT_EVENT_RULES: {why}.")


def rule_for(rules: Sequence[Rule], event: ObjectEvent) -> Rule | None:
    """Return the first rule that an object falls under, unless it is an output of ours.

    An output that were cut out again would announce itself, and so on for ever.
    """
    address = f"s3://{event.bucket}/{event.key}"
    if any(address.startswith(f"{rule.destination}/") for rule in rules):
        return None
    if not names.is_image(event.key) or names.RESERVED in event.key.split("/"):
        return None
    fitting = (r for r in rules if r.bucket == event.bucket and event.key.startswith(r.prefix))
    return next(fitting, None)
