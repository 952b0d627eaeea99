"""Creates a cutout: store what must be kept, register it, publish its job."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import PurePosixPath
from typing import NamedTuple

from contract import names
from contract.batch import BatchSpec
from contract.cutout import CutoutSpec, PrivateFields
from contract.errors import REDIS_CODES, CutoutError, ErrorCode
from contract.job import Backdrop, ManifestLine
from contract.output_keys import cutout_output_key
from contract.safe_http.policy import check_url
from contract.storage import canonical_location, split_object
from producer.dispatch.cutouts import cutout_spec, submit
from producer.web.context import Context
from producer.web.cutouts.private_fields import (
    backdrop_key,
    private_fields_key,
    put_private_fields,
    upload_key,
)
from producer.web.cutouts.records import CutoutRecord, IdempotencyRow
from producer.web.cutouts.request import NewCutout, Upload
from producer.web.problems import RequestError


def create(
    context: Context,
    cutout_id: str,
    new: NewCutout,
    upload: Upload | None,
    idempotency: IdempotencyRow | None = None,
    backdrop: Upload | str | None = None,
) -> BatchSpec:
    """Create a cutout of `upload`, or of `new.source` if there is no upload; return its spec.

    `backdrop`: an image that fills the canvas behind the subject, or its URL. Only if the
    photograph is not `s3://`: both must be in the server's own store.

    Its record is stored before it is registered, so what is confirmed to a client survives the loss
    of Redis.

    Raises RequestError or PermanentError if the request is invalid or the queue is full, and
    RetryableError if Redis or the storage is unavailable.
    """
    resolved = _resolve(context, cutout_id, new, upload, backdrop)
    record = CutoutRecord(spec=resolved.spec, idempotency=idempotency)
    try:
        _put_all(_puts(context, record, resolved.uploads, resolved.fields))
        submit(context.ledger, resolved.spec, resolved.cutout, context.settings)
    except CutoutError as error:
        # without Redis it is unknown whether the cutout was registered: a repeated request may find
        # and confirm it, so its record stays
        if error.code not in REDIS_CODES:
            with suppress(CutoutError):  # the first error is the one to report
                context.records.delete(cutout_id)
        raise
    return resolved.spec


class _Resolved(NamedTuple):
    """A request that was checked."""

    spec: BatchSpec
    cutout: CutoutSpec
    fields: PrivateFields
    uploads: dict[str, Upload]
    """by the key under which they are stored"""


def _resolve(
    context: Context,
    cutout_id: str,
    new: NewCutout,
    upload: Upload | None,
    backdrop: Upload | str | None,
) -> _Resolved:
    """Check a request. Raises RequestError or PermanentError."""
    recipe = context.recipe(new)
    context.check_queue(recipe.model)
    destination = (context.store, names.cutout_result_key(cutout_id, recipe.renditions[0].suffix))
    if new.destination:
        destination = parse_location(new.destination)
    source_is_url = upload is None and not new.source.startswith("s3://")
    fields = PrivateFields(
        url=new.source if source_is_url else None,
        callback_url=new.callback_url,
        backdrop_url=backdrop if isinstance(backdrop, str) else None,
    )
    for url in (fields.callback_url, fields.url, fields.backdrop_url):
        if url:
            check_url(url, context.settings.url_allowlist)
    source = _source(context, cutout_id, new, upload)
    store, key = destination
    outputs = {(store, cutout_output_key(key, recipe, each)) for each in recipe.outputs}
    if source in {destination, *outputs}:
        raise RequestError(
            ErrorCode.OVERLAPPING_LOCATIONS, "The output would overwrite the photograph."
        )
    cutout = CutoutSpec(
        photograph=ManifestLine(
            key=source[1], size=len(upload.data) if upload else 0, etag=cutout_id
        ),
        destination_key=destination[1],
        source_is_url=source_is_url,
        has_callback=bool(new.callback_url),
        backdrop=_backdrop(cutout_id, backdrop),
    )
    uploads = {source[1]: upload} if upload else {}
    if cutout.backdrop and isinstance(backdrop, Upload):
        uploads[cutout.backdrop.key] = backdrop
    spec = cutout_spec(cutout_id, source[0], destination[0], recipe, cutout)
    return _Resolved(spec, cutout, fields, uploads)


def _puts(
    context: Context, record: CutoutRecord, uploads: dict[str, Upload], fields: PrivateFields
) -> list[Callable[[], None]]:
    """Return what must be stored before a cutout is registered, each as a call that stores it."""
    store = context.open_store()
    puts: list[Callable[[], None]] = [partial(context.records.put, record)]
    for key, upload in uploads.items():
        puts.append(partial(store.put, key, upload.data, "application/octet-stream"))
    if fields != PrivateFields():
        puts.append(partial(put_private_fields, store, record.spec.id, fields))
    return puts


def _put_all(puts: list[Callable[[], None]]) -> None:
    """Write objects at the same time: one after the other, their latencies would add up."""
    if len(puts) == 1:
        puts[0]()
        return
    with ThreadPoolExecutor(len(puts)) as pool:
        for done in [pool.submit(put) for put in puts]:
            done.result()


def _backdrop(cutout_id: str, backdrop: Upload | str | None) -> Backdrop | None:
    if backdrop is None:
        return None
    if isinstance(backdrop, str):
        return Backdrop(key=private_fields_key(cutout_id), is_url=True)
    return Backdrop(key=backdrop_key(cutout_id))


def _source(
    context: Context, cutout_id: str, new: NewCutout, upload: Upload | None
) -> tuple[str, str]:
    """Return the store and key of the photograph, or of the private fields that hold its URL."""
    if upload:
        suffix = PurePosixPath(upload.name).suffix.lower()
        known_suffix = suffix if suffix in names.IMAGE_EXTENSIONS else ""
        return context.store, upload_key(cutout_id, known_suffix)
    if new.source.startswith("s3://"):
        return parse_location(new.source)
    return context.store, private_fields_key(cutout_id)


def parse_location(location: str) -> tuple[str, str]:
    """Split `s3://bucket/a/b.jpg` into its store `s3://bucket/a` and its key `b.jpg`.

    Raises RequestError (`invalid_location`) or PermanentError (`unsafe_key`).
    """
    folder, key = split_object(location)
    if not location.startswith("s3://") or folder in {"s3:", "s3:/"} or not key:
        raise RequestError(
            ErrorCode.INVALID_LOCATION,
            f"{names.printable(location)!r} is not a location such as s3://bucket/key.",
        )
    store = canonical_location(folder)
    # the whole path: a store may keep buckets as folders, where `..` in a prefix would climb too
    names.check_object_key(location.removeprefix("s3://"))
    return store, key
