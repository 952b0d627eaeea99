"""Names that producer and worker share: tasks, queues, Redis keys, object keys. Pure strings."""

import hashlib
import re
from collections.abc import Iterable

from contract.errors import ErrorCode, PermanentError
from contract.recipe import PIPELINE

CUT_TASK = "cutout.cut"
"""The Celery task that processes one image."""

BATCH_ID = re.compile(r"[bc]-[0-9]{8}-[0-9]{6}-[0-9a-f]{6,12}")
"""IDs of batches (`b-`) and of cutouts (`c-`): date, time and random digits."""

CUTOUT_ID_PREFIX = "c-"
UNSAFE = re.compile(r"(?:\A|/)\.{0,2}(?:/|\Z)|\0")
"""Matches keys with a part that is empty, `.` or `..`, or with a NUL."""
UNSAFE_OBJECT = re.compile(r"(?:\A|/)\.{1,2}(?:/|\Z)|/\Z|\A\Z|\0")
"""The same, but for objects in buckets, whose keys may have empty parts: `a//b.jpg`, `/a.jpg`."""

RESERVED = "_cutout"
"""Folder in a destination for manifests, reports and a FileStore's metadata. No outputs."""
REVIEW = "_review"
"""Folder in a destination for outputs that a user should look at, as a recipe's policy says."""

IMAGE_EXTENSIONS = frozenset(
    {
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif",
        ".mpo", ".heic", ".heif", ".hif", ".avif",
    }
)  # fmt: skip
"""Extensions of objects that a batch includes; the content decides whether each is an image."""

COMPANION = re.compile(
    r"(?:^|/)(?:(?:__MACOSX|@eaDir|\.thumbnails|\.Trash[^/]*)/|\._[^/]*\Z|\.DS_Store\Z)"
)
"""Matches keys of companion files: in such folders or in a bin of deleted files; AppleDouble files
(`._a.jpg` beside `a.jpg`). macOS, Synology and Linux desktops write them; none is a photograph of
a user's, whatever its extension."""


def bulk_queue(model: str, pipeline: int = PIPELINE) -> str:
    """Return the queue of batches for one model and one version of the image code.

    A worker holds one model and serves one such queue, so while releases change, the images of
    each wait for its own workers.
    """
    return f"bulk.{model}.p{pipeline}"


def interactive_queue(model: str, pipeline: int = PIPELINE) -> str:
    """Return the queue of cutouts: images that a client waits for."""
    return f"interactive.{model}.p{pipeline}"


def quarantine_queue(model: str, pipeline: int = PIPELINE) -> str:
    """Return the queue of images that crashed their worker process at an earlier attempt."""
    return f"quarantine.{model}.p{pipeline}"


def pipelines_of(model: str, queues: Iterable[str]) -> list[int]:
    """Return the pipelines whose queue of batches for a model is among `queues`, ascending."""
    prefix = f"bulk.{model}.p"
    return sorted(int(queue[len(prefix) :]) for queue in queues if queue.startswith(prefix))


def is_image(key: str) -> bool:
    """Return whether a key has an extension of IMAGE_EXTENSIONS, in upper or lower case."""
    return extension(key).lower() in IMAGE_EXTENSIONS


def is_companion(key: str) -> bool:
    """Return whether a key is that of a file which a system keeps beside a user's photographs."""
    return COMPANION.search(key) is not None


def extension(key: str) -> str:
    """Return the extension of a key's last part with its dot; empty without one, as of `.jpg`."""
    name = key[key.rfind("/") + 1 :]
    dot = name.rfind(".")
    return name[dot:] if 0 < dot < len(name) - 1 else ""


def is_reserved(key: str) -> bool:
    """Return whether a key lies in a folder of ours: RESERVED or REVIEW."""
    return key.partition("/")[0] in {RESERVED, REVIEW}


def review_key(key: str) -> str:
    """Return the key of an output that a user should look at, from that of a delivered one."""
    return f"{REVIEW}/{key}"


def output_key(key: str, suffix: str = ".png") -> str:
    """Return the output key of a photograph: same folders, extension replaced by `suffix`."""
    return key[: len(key) - len(extension(key))] + suffix


def check_key(key: str) -> str:
    """Return the key. Raises PermanentError (`unsafe_key`) if it is not a plain relative path.

    `.` and `..` are resolved by file systems, proxies and some S3 clients, so a key with them names
    different objects to different readers.
    """
    if UNSAFE.search(key):
        raise PermanentError(ErrorCode.UNSAFE_KEY, f"The key {key!r} is not a plain path.")
    return key


def check_object_key(key: str) -> str:
    """Return the key of an object in a bucket, which may have empty parts; else as `check_key`."""
    if UNSAFE_OBJECT.search(key):
        raise PermanentError(ErrorCode.UNSAFE_KEY, f"The key {key!r} is not a plain path.")
    return key


def printable(key: str) -> str:
    """Return a key with control characters escaped, safe to print to a terminal."""
    if key.isprintable():
        return key
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in key)


def cell(text: str) -> str:
    """Return text that neither a terminal nor a spreadsheet executes."""
    plain = printable(text)
    return f"'{plain}" if plain.startswith(("=", "+", "-", "@")) else plain


def is_batch_id(text: str) -> bool:
    """Return whether `text` is a batch or cutout ID. Build a Redis key from nothing else."""
    return BATCH_ID.fullmatch(text) is not None


def is_cutout_id(batch: str) -> bool:
    """Return whether a valid ID is that of a cutout."""
    return batch.startswith("c-")


def cutout_result_key(cutout_id: str, suffix: str) -> str:
    """Return the key of a cutout without a destination of its own, in the server's store."""
    return f"cut-outs/{cutout_id}{suffix}"


def is_cutout_result_key(cutout_id: str, key: str) -> bool:
    """Return whether a key is one of `cutout_result_key`: of this cutout alone."""
    return key.startswith(cutout_result_key(cutout_id, "."))


def batch_prefix(batch: str) -> str:
    """Return the prefix of all files of a batch."""
    return f"{RESERVED}/{batch}/"


def spec_key(batch: str) -> str:
    """Return the key of a batch's BatchSpec in its destination."""
    return f"{RESERVED}/{batch}/batch.json"


def private_fields_key(batch: str) -> str:
    """Return the key of a batch's PrivateFields."""
    return f"{RESERVED}/{batch}/private.json"


def manifest_key(batch: str, segment: int, writer: str = "") -> str:
    """Return the key of a segment of the manifest: compressed JSON lines of ManifestLine.

    `writer`: the process that wrote it (see `BatchSpec.segment_writers`).
    """
    suffix = f"-{writer}" if writer else ""
    return f"{RESERVED}/{batch}/manifest/{segment:06d}{suffix}.jsonl.gz"


def checkpoint_key(batch: str) -> str:
    """Return the key of the file that says how far the listing of a batch's source is."""
    return f"{RESERVED}/{batch}/listing.json"


def outcomes_prefix(batch: str) -> str:
    """Return the prefix of all segments of outcome rows."""
    return f"{RESERVED}/{batch}/outcomes/"


def outcomes_key(batch: str, epoch: int, first_id: str, last_id: str) -> str:
    """Return the key of a segment of outcome rows of one epoch, with its first and last row ID.

    The same rows always get the same key, so writing them twice is harmless, and two dispatchers
    that drain at once never overwrite each other's rows. Keys sort by epoch, up to a million, then
    by time.
    """
    parts = (entry.partition("-") for entry in (first_id, last_id))
    name = "_".join(f"{int(millis):015d}-{int(number):06d}" for millis, _, number in parts)
    return f"{outcomes_prefix(batch)}{epoch:06d}_{name}.jsonl.gz"


def outcomes_epoch(key: str) -> int:
    """Return the epoch of a segment of outcome rows, from its key."""
    return int(key.rpartition("/")[2].partition("_")[0])


def report_key(batch: str, suffix: str) -> str:
    """Return the key of the report; `suffix` is `csv` or `jsonl.gz`."""
    return f"{RESERVED}/{batch}/report.{suffix}"


def summary_key(batch: str) -> str:
    """Return the key of the summary: counters and durations as JSON."""
    return f"{RESERVED}/{batch}/summary.json"


def redis_key(batch: str, part: str = "") -> str:
    """Return the Redis key of a part of a batch, or without `part` of the batch's hash."""
    return f"cutout:batch:{batch}:{part}" if part else f"cutout:batch:{batch}"


def redis_keys(batch: str, parts: Iterable[str]) -> list[str]:
    """Return the Redis keys of parts of a batch, in order; the part "" is the batch's own hash."""
    return [redis_key(batch, part) for part in parts]


def worker_key(name: str) -> str:
    """Return the Redis key of a worker's registration."""
    return f"cutout:worker:{name}"


def batch_name_key(name: str) -> str:
    """Return the Redis key of a name under which a batch was submitted. Any characters."""
    return f"cutout:batch-name:{hashlib.sha256(name.encode()).hexdigest()}"


WORKERS = "cutout:workers"
SHARED_SETTINGS = "cutout:settings"
OPEN_BATCHES = "cutout:open"
REGISTERING = "cutout:registering"
ALL_BATCHES = "cutout:batches"
SETTLED_COUNTS = "cutout:settled"
DROPPED_MESSAGES = "cutout:dropped_messages"
DISPATCHER_LEASE = "cutout:dispatcher"
CALLBACKS = "cutout:callbacks"
"""Callbacks of cutouts: servers deliver them."""
BATCH_CALLBACKS = "cutout:batch_callbacks"
"""Callbacks of batches: dispatchers deliver them."""


def callback_attempts(callbacks: str) -> str:
    """Return the Redis key of the attempts that go with CALLBACKS or BATCH_CALLBACKS."""
    return f"{callbacks}:attempts"
