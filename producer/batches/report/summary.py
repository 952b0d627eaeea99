"""A batch's state as a JSON object."""

import json

from contract import names
from contract.batch import Progress
from contract.errors import ErrorCode, PermanentError
from contract.storage import Store


def batch_json(progress: Progress) -> dict[str, object]:
    """Return the JSON object of `cutout status --json` and of summary.json."""
    spec = progress.spec
    return {
        "batch": spec.id,
        "state": progress.state,
        "source": spec.source,
        "destination": spec.destination,
        "model": spec.recipe.model,
        "pipeline": spec.recipe.pipeline,
        "total": spec.total,
        "done": progress.done,
        "skipped": progress.skipped,
        "failed": progress.failed,
        "ignored": spec.ignored,
        "excluded": spec.excluded,
        "linked_folders": [names.printable(folder) for folder in spec.linked_folders],
        "unreadable": spec.unreadable,
        "unreadable_rows": [names.printable(row) for row in spec.unreadable_rows],
        "issued": progress.issued,
        "duplicates": progress.duplicates,
        "stalled_reason": progress.stalled_reason,
        "schedule": spec.schedule.model_dump(mode="json"),
        "eta": progress.expected_end,
        "late": progress.late,
        "created": spec.created,
        "closed": progress.closed,
    }


def write_summary(progress: Progress, store: Store) -> None:
    """Write summary.json into a batch's destination."""
    body = json.dumps(batch_json(progress), indent=2).encode()
    store.put(names.summary_key(progress.spec.id), body, "application/json")


def closed_at(store: Store, batch: str) -> float | None:
    """Return when a batch was closed (Unix seconds), by its summary; None if it is not closed."""
    try:
        fields = json.loads(store.get(names.summary_key(batch)).data)
    except PermanentError as error:
        if error.code is ErrorCode.OBJECT_MISSING:
            return None
        raise
    return fields["closed"] if fields["state"] == "closed" else None
