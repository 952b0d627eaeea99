"""Checks of a batch's locations: whether they can be listed, read and written as workers do."""

import secrets
import time
from collections.abc import Iterator

from contract import names
from contract.storage import open_store
from producer.batches.locations import resolve
from producer.doctor.finding import Finding, error, ok, warning

SLOW_SECONDS = 0.5
"""A request that takes longer than this keeps a child waiting longer than its network computes."""
MARK = {"cutout-doctor": "1"}


class StorageChecks:
    def __init__(self, source: str, destination: str) -> None:
        self._source = source
        self._destination = destination

    def source(self) -> Iterator[Finding]:
        """List the first page of the source."""
        locations = resolve(self._source, self._destination)
        began = time.perf_counter()
        page = next(open_store(locations.source).pages(), None)
        took = time.perf_counter() - began
        images = [item for item in page.items if names.is_image(item.key)] if page else []
        if not images:
            yield warning(
                f"{locations.source} begins with no photograph.",
                "Check the bucket, the prefix and the files' extensions.",
            )
        else:
            yield ok(f"{locations.source} lists in {took * 1000:.0f} ms")

    def destination(self) -> Iterator[Finding]:
        """Write, ask for and delete a small object at the destination."""
        return written(resolve(self._source, self._destination).destination)


def written(location: str) -> Iterator[Finding]:
    """Check that a small object can be written at a location, and that its metadata is kept."""
    store = open_store(location)
    key = f"{names.RESERVED}/doctor-{secrets.token_hex(4)}"
    began = time.perf_counter()
    store.put(key, b"cutout doctor", "text/plain", MARK)
    took = time.perf_counter() - began
    try:
        head = store.head(key)
    finally:
        store.delete(key)
    yield ok(f"{store.uri} takes a file in {took * 1000:.0f} ms")
    if head is None or any(head.metadata.get(name) != value for name, value in MARK.items()):
        yield error(
            f"{store.uri} does not keep the metadata of a file, so no output can count as current.",
            "Use storage that keeps S3 user metadata.",
        )
    if took > SLOW_SECONDS:
        yield warning(
            f"Writing takes {took:.1f} s.",
            "Use storage in the workers' region, or start more children per CPU.",
        )
