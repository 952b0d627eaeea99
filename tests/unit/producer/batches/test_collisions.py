"""Lines of one output key are found, whatever the number of lines."""

from pathlib import Path

import pytest

from contract.errors import ErrorCode
from contract.recipe import Recipe
from producer.batches import collisions
from producer.batches.collisions import collision_index

SEGMENT = 10
PLAIN_RECIPE = Recipe(model="u2netp")


def failures(
    keys: list[str], *, in_buckets: bool = False, recipe: Recipe = PLAIN_RECIPE
) -> dict[int, tuple[ErrorCode | None, str]]:
    with collision_index(recipe, in_buckets=in_buckets) as index:
        for first in range(0, len(keys), 7):
            index.add(first, keys[first : first + 7])
        rows = index.outcomes(SEGMENT, lambda n: keys[n * SEGMENT : (n + 1) * SEGMENT])
        return {row.line: (row.code, row.message) for row in rows}


def test_distinct_outputs_do_not_collide() -> None:
    assert failures([f"{n}.jpg" for n in range(5000)] + ["a.jpg/b.jpg", "a.b.jpg", "a.jpg"]) == {}


@pytest.mark.parametrize("partition_bytes", [32_768, 16])
def test_every_line_of_a_shared_output_fails(partition_bytes: int, monkeypatch) -> None:
    monkeypatch.setattr(collisions, "PARTITION_BYTES", partition_bytes)
    keys = [f"{n}.jpg" for n in range(300)]
    keys[5], keys[77], keys[250] = "x/a.jpg", "x/a.tiff", "x/a.webp"
    failed = failures(keys)
    assert {line: code for line, (code, _) in failed.items()} == dict.fromkeys(
        (5, 77, 250), ErrorCode.DUPLICATE_DESTINATION
    )
    assert failed[5][1] == "'x/a.jpg' and 'x/a.tiff' would both write 'x/a.png'."
    assert failed[250][1] == "'x/a.webp' and 'x/a.jpg' would both write 'x/a.png'."


def test_of_a_key_listed_twice_the_first_line_counts() -> None:
    assert failures(["a.jpg", "b.jpg", "a.jpg"]) == {
        2: (ErrorCode.DUPLICATE_DESTINATION, "'a.jpg' is listed on line 0 too.")
    }
    three = failures(["a.jpg", "a.jpg", "a.png"])
    assert set(three) == {0, 1, 2}


@pytest.mark.parametrize(
    "key", ["../a.jpg", "a//b.jpg", "/a.jpg", "a\0.jpg", "", "x" * 5000, "\udcff"]
)
def test_an_unsafe_key_fails_alone(key: str) -> None:
    failed = failures(["a.jpg", key, "b.jpg"])
    assert {line: code for line, (code, _) in failed.items()} == {1: ErrorCode.UNSAFE_KEY}
    assert len(failed[1][1]) < 60_000


def test_keys_with_empty_parts_are_legal_from_bucket_to_bucket() -> None:
    keys = ["a//b.jpg", "a/b.jpg", "/a.jpg", "a.jpg", "a/../b.jpg"]
    failed = failures(keys, in_buckets=True)
    assert {line: code for line, (code, _) in failed.items()} == {4: ErrorCode.UNSAFE_KEY}


def test_the_index_is_deleted(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(collisions.tempfile, "tempdir", str(tmp_path))
    assert failures(["a.jpg", "a.png"])
    assert list(tmp_path.iterdir()) == []
