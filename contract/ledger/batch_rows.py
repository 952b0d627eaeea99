"""What Redis holds of a batch: the names of its keys, and the fields of its hash."""

from typing import Any

from contract.batch import STATES, BatchSpec, Progress, stored_spec
from contract.ledger.ended_cutout import unpacked
from contract.ledger.lines import LINE_KEYS, OUTSTANDING_KEYS
from contract.outcome import AttemptResult, Status
from contract.stored import newer_release

BATCH_KEYS = ("", "settled", "failed")
"""The keys of a batch that outlive its closing: the hash itself, and two bits per line."""
TEMPORARY_KEYS = ("outcomes", *LINE_KEYS, "recent_results")


def batch_row(spec: BatchSpec, counts: dict[Status, int], epoch: int) -> dict[Any, Any]:
    """Return the fields of the hash of a new batch."""
    return {
        "spec": spec.model_dump_json(), "state": "registering",
        "has_callback": int(spec.has_callback), "total": spec.total, "cursor": 0,
        "duplicates": 0, "epoch": epoch,
        **{status.value: count for status, count in counts.items()},
    }  # fmt: skip


def attempt_result(entry: str) -> AttemptResult:
    """Return an entry of the list of recent results: `code seconds worker`."""
    code, seconds, worker = entry.split(" ", 2)
    return AttemptResult(code, worker, int(seconds))


def progress_of_row(batch: str, row: dict[str, str], sizes: list[int]) -> Progress:
    """Return the counters of a batch's hash; `sizes`: of the sets OUTSTANDING_KEYS.

    Raises PermanentError (`newer_release`).
    """
    row = unpacked(row)
    spec = stored_spec(batch, row.get("spec", ""))  # another release may pack the hash otherwise
    if row["state"] not in STATES:
        raise newer_release(f"The state of {batch}", f"{row['state']} is unknown.")
    if row["state"] == "registering":
        spec = spec.model_copy(update={"total": int(row["total"])})
    return Progress(
        spec=spec,
        state=row["state"],  # type: ignore[arg-type]  # written by the scripts alone
        done=int(row["done"]),
        skipped=int(row["skipped"]),
        failed=int(row["failed"]),
        issued=sum(sizes),
        quarantined=sizes[OUTSTANDING_KEYS.index("quarantined")],
        claimed=sizes[OUTSTANDING_KEYS.index("claimed")],
        deferred=sizes[OUTSTANDING_KEYS.index("deferred")],
        # an ended cutout has neither
        duplicates=int(row.get("duplicates", 0)),
        epoch=int(row.get("epoch", 0)),
        closed=float(row["closed"]) if "closed" in row else None,
        stalled_reason=row.get("stalled_reason", ""),
        retry_at=float(row["retry_at"]) if "retry_at" in row else None,
        eta=float(row["eta"]) if "eta" in row else None,
    )
