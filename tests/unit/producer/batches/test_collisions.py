"""Lines of one output key are found, whatever the number of lines."""

from pathlib import Path

import pytest

from contract.errors import ErrorCode
from contract.recipe import Recipe
from contract.rendition import Rendition
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


# several renditions


def recipe(*renditions: Rendition) -> Recipe:
    return Recipe(model="u2netp", renditions=renditions)


BY_NAME = recipe(Rendition(name="web", format="webp"), Rendition(name="alpha"))


def test_renditions_named_alike_collide_as_photographs_do() -> None:
    assert failures(["a.jpg", "a.web.jpg", "a.webp.png", "b.jpg"], recipe=BY_NAME) == {}
    assert set(failures(["a.jpg", "a.tiff", "b.jpg"], recipe=BY_NAME)) == {0, 1}


def test_outputs_of_different_renditions_collide() -> None:
    mixed = recipe(
        Rendition(name="main", key="{dir}/{stem}.{ext}"),
        Rendition(name="small", key="{dir}/{stem}-small.{ext}", max_side=99),
    )
    failed = failures(["x/a.jpg", "b.jpg", "x/a-small.jpg"], recipe=mixed)
    assert failed == {
        line: (ErrorCode.DUPLICATE_DESTINATION, message)
        for line, message in (
            (0, "'x/a.jpg' and 'x/a-small.jpg' would both write 'x/a-small.png'."),
            (2, "'x/a-small.jpg' and 'x/a.jpg' would both write 'x/a-small.png'."),
        )
    }


def test_two_outputs_of_one_photograph_collide() -> None:
    folders = recipe(
        Rendition(name="main", key="{dir}/{stem}.{ext}"),
        Rendition(name="small", key="small/{stem}.{ext}", max_side=99),
    )
    failed = failures(["a.jpg", "small/b.jpg", "c.jpg"], recipe=folders)
    assert failed == {
        1: (
            ErrorCode.DUPLICATE_DESTINATION,
            "Two renditions of 'small/b.jpg' would both write 'small/b.png'.",
        )
    }
    failed = failures(["small/b.jpg", "x/b.jpg"], recipe=folders)
    assert {line: code for line, (code, _) in failed.items()} == dict.fromkeys(
        (0, 1), ErrorCode.DUPLICATE_DESTINATION
    )


def test_a_photograph_listed_twice_is_not_two_renditions() -> None:
    folders = recipe(
        Rendition(name="main", key="{dir}/{stem}.{ext}"), Rendition(name="small", max_side=99)
    )
    assert set(failures(["a.jpg", "a.jpg"], recipe=folders)) == {1}


@pytest.mark.parametrize("in_buckets", [True, False])
@pytest.mark.parametrize("key", ["...jpg", "_cutout.jpg"])
def test_a_template_makes_plain_paths_only(key: str, in_buckets: bool) -> None:
    folders = recipe(Rendition(name="main", key="{stem}/{name}.{ext}"))
    failed = failures(["a.jpg", key], recipe=folders, in_buckets=in_buckets)
    assert {line: code for line, (code, _) in failed.items()} == {1: ErrorCode.UNSAFE_KEY}
    assert failures(["a.jpg", key], in_buckets=in_buckets) == {}


def test_a_kept_matte_collides_with_the_output_of_its_namesake() -> None:
    keeping = Recipe(model="u2netp", keep_matte=True)
    assert failures(["a.jpg", "b.jpg", "a.matte.jpg"], recipe=PLAIN_RECIPE) == {}
    failed = failures(["a.jpg", "b.jpg", "a.matte.jpg"], recipe=keeping)
    assert {line: code for line, (code, _) in failed.items()} == dict.fromkeys(
        (0, 2), ErrorCode.DUPLICATE_DESTINATION
    )
