"""Names both sides must spell alike: tasks, queues, Redis keys, object keys. Pure strings."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from contract.errors import ErrorCode, PermanentError

CUT_TASK = "cutout.cut"

BATCH_ID = re.compile(r"[bc]-[0-9]{8}-[0-9]{6}-[0-9a-f]{6,12}")

RESERVED = "_cutout"
"""The one folder of ours below a destination: manifests, reports, metadata of a FileStore."""

IMAGE_EXTENSIONS = frozenset(
    {
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif",
        ".mpo", ".heic", ".heif", ".avif",
    }
)  # fmt: skip
"""What a listing takes for a photograph; the content decides afterwards. HEIC and AVIF are in it
so that they fail by name (`unsupported_format`) instead of being passed over in silence."""


def bulk_queue(model: str) -> str:
    """Return the queue of batches for one model: a worker holds one model, so it serves one."""
    return f"bulk.{model}"


def interactive_queue(model: str) -> str:
    """Return the queue of single images, which somebody waits for."""
    return f"interactive.{model}"


def quarantine_queue(model: str) -> str:
    """Return the queue of images whose process vanished at an earlier attempt."""
    return f"quarantine.{model}"


def is_image(key: str) -> bool:
    return PurePosixPath(key).suffix.lower() in IMAGE_EXTENSIONS


def is_reserved(key: str) -> bool:
    return key.partition("/")[0] == RESERVED


def output_key(key: str, suffix: str = ".png") -> str:
    """Return the destination's key: folders kept, extension replaced by `suffix`."""
    return key[: len(key) - len(PurePosixPath(key).suffix)] + suffix


def check_key(key: str) -> str:
    """Return the key, or raise PermanentError (`unsafe_key`) where no store should hold it.

    `.` and `..` are resolved by file systems, by proxies and by some S3 clients, so a key that
    holds them names different objects to different readers.
    """
    parts = key.split("/")
    if not key or "\0" in key or any(part in {"", ".", ".."} for part in parts):
        raise PermanentError(ErrorCode.UNSAFE_KEY, f"The key {key!r} is not a plain path.")
    return key


def printable(key: str) -> str:
    """Return a key as it may be shown: a hostile one could carry a terminal's control codes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in key)


def is_batch_id(text: str) -> bool:
    """Return whether `text` is a batch or cutout ID. Build a Redis key from nothing else."""
    return BATCH_ID.fullmatch(text) is not None


def cutout_result_key(cutout_id: str, suffix: str) -> str:
    """Return the key of a cutout without a destination of its own, in the server's store."""
    return f"cut-outs/{cutout_id}{suffix}"


def spec_key(batch: str) -> str:
    return f"{RESERVED}/{batch}/batch.json"


def manifest_key(batch: str, segment: int) -> str:
    return f"{RESERVED}/{batch}/manifest/{segment:06d}.jsonl"


def outcomes_prefix(batch: str) -> str:
    return f"{RESERVED}/{batch}/outcomes/"


def outcomes_key(batch: str, first_id: str, last_id: str) -> str:
    """Name a report segment after its first and last stream entries.

    Writing it twice is harmless, and two dispatchers that drain at once never overwrite each
    other's rows.
    """
    ends = (entry.partition("-") for entry in (first_id, last_id))
    name = "_".join(f"{int(millis):015d}-{int(number):06d}" for millis, _, number in ends)
    return f"{outcomes_prefix(batch)}{name}.jsonl"


def report_key(batch: str, suffix: str) -> str:
    return f"{RESERVED}/{batch}/report.{suffix}"


def summary_key(batch: str) -> str:
    return f"{RESERVED}/{batch}/summary.json"


def redis_key(batch: str, part: str = "") -> str:
    return f"cutout:batch:{batch}:{part}" if part else f"cutout:batch:{batch}"


def redis_keys(batch: str, parts: Iterable[str]) -> list[str]:
    """Return the Redis keys of parts of a batch, in order; the part "" is the batch's own hash."""
    return [redis_key(batch, part) for part in parts]


def worker_key(name: str) -> str:
    return f"cutout:worker:{name}"


WORKERS = "cutout:workers"
OPEN_BATCHES = "cutout:open"
ALL_BATCHES = "cutout:batches"
DISPATCHER_LEASE = "cutout:dispatcher"
CALLBACKS = "cutout:callbacks"
CALLBACK_ATTEMPTS = "cutout:callbacks:attempts"
