"""The photographs of an earlier batch, from its manifest."""

import pytest

from contract.batch import BatchSpec, Selection
from contract.errors import ErrorCode, PermanentError
from contract.job import ManifestLine
from contract.recipe import Recipe
from contract.storage import open_store
from contract.storage.batch_files import write_manifest_segment, write_spec
from producer.batches.sources.batch import BatchSource
from producer.batches.storage_retry import StorageRetry

LISTED, BATCH = "b-20260101-000000-000000", "b-20260101-000000-111111"
KEYS = ["a.jpg", "b/c.jpg", "d.jpg", "e.jpg", "f.jpg"]


@pytest.fixture
def source(tmp_path):
    def spec(batch: str, **fields) -> BatchSpec:
        return BatchSpec(
            id=batch, source="s3://a", destination=tmp_path.as_uri(),
            recipe=Recipe(model="u2netp"), created=0, total=len(KEYS), segment_lines=2, **fields,
        )  # fmt: skip

    write_spec(spec(LISTED))
    lines = [ManifestLine(key=key, size=7, etag="old").model_dump_json() for key in KEYS]
    for segment in range(3):
        store = open_store(tmp_path.as_uri())
        write_manifest_segment(store, LISTED, segment, lines[2 * segment : 2 * segment + 2])

    def open_source(batch: str = LISTED) -> BatchSource:
        return BatchSource(spec(BATCH, selection=Selection(batch=batch)), StorageRetry())

    return open_source


def test_it_has_the_same_photographs_in_the_same_order(source):
    pages = [*source().pages([(0, None)])]
    assert [item.key for page in pages for item in page.items] == KEYS
    assert [page.interval for page in pages] == [(0, 2), (2, 4), (4, 5), (5, None)]
    # photographs may have changed since the manifest was written, so its ETags are left out
    assert {(item.size, item.etag) for page in pages for item in page.items} == {(7, "")}


@pytest.mark.parametrize("position", range(6))
def test_a_listing_goes_on_at_any_line(source, position: int):
    pages = [*source().pages([(position, None)])]
    assert [item.key for page in pages for item in page.items] == KEYS[position:]
    assert pages[-1].interval == (5, None)


def test_a_batch_whose_files_were_pruned_is_unknown(source):
    with pytest.raises(PermanentError) as caught:
        source("b-20260101-000000-222222")
    assert caught.value.code is ErrorCode.BATCH_UNKNOWN
