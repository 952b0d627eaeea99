"""What listing by a manifest costs, whatever it holds."""

import gzip
import tracemalloc
from contextlib import ExitStack
from pathlib import Path

from producer.batches.sources.manifest import ManifestSource
from producer.batches.storage_retry import StorageRetry


def test_large_rows_are_in_memory_one_at_a_time(tmp_path: Path) -> None:
    row = '{"key": "a.jpg", "x": [' + ",".join(["[]"] * 20_000) + "]}\n"  # 1 MB once it is parsed
    manifest = tmp_path / "list.jsonl.gz"
    manifest.write_bytes(gzip.compress(row.encode() * 40))
    with ExitStack() as stack:
        retry = StorageRetry()
        source = ManifestSource("s3://b", str(manifest), retry, stack, needs_modified=False)
        tracemalloc.start()
        pages = list(source.pages([(0, None)]))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert [len(page.items) for page in pages] == [40, 0]
    assert [page.interval for page in pages] == [(0, 40), (40, None)]
    assert peak < 10e6
