"""Which photographs of a source are in a batch."""

import random
from pathlib import Path

import pytest

from contract.batch import BatchSpec, Selection
from contract.policy import Policy
from contract.recipe import Recipe
from contract.rendition import Rendition
from contract.storage import ObjectInfo
from producer.batches.outputs import OutputIndex
from producer.batches.selection import PhotographFilter

KEYS = ["a.jpg", "notes.txt", "shoes/b.JPG", "shoes/old/c.png", "shoes/[x].webp", "_cutout/d.jpg"]


def chosen(selection: Selection, items=None, outputs=None) -> tuple[list[str], int, int]:
    """Return the chosen keys, and how many are ignored and excluded."""
    spec = BatchSpec(
        id="b-20260101-000000-000000", source="s3://b/in", destination="s3://b/in/out",
        recipe=Recipe(model="u2netp"), created=0, total=0, segment_lines=10, selection=selection,
    )  # fmt: skip
    photographs = PhotographFilter(spec, outputs)
    items = items or [ObjectInfo(key, 1, "e", 100.0) for key in [*KEYS, "out/e.jpg"]]
    keys = [item.key for page in (items[:3], items[3:]) for item in photographs.choose(page)]
    keys += [item.key for item in photographs.rest()]
    assert photographs.taken == len(keys)
    return keys, photographs.ignored, photographs.excluded


ALL = ["a.jpg", "shoes/b.JPG", "shoes/old/c.png", "shoes/[x].webp"]


@pytest.mark.parametrize(
    ("selection", "keys"),
    [
        (Selection(), ALL),
        (Selection(include=("shoes/*",)), ALL[1:]),
        (Selection(include=("*.jpg", "*.png")), [ALL[0], ALL[2]]),
        (Selection(exclude=("*/old/*", "a.???")), [ALL[1], ALL[3]]),
        (Selection(include=("shoes/*",), exclude=("*[[]*",)), ALL[1:3]),
        (Selection(limit=2), ALL[:2]),
        (Selection(limit=99), ALL),
        (Selection(include=("shoes/*",), limit=1), ALL[1:2]),
    ],
)
def test_a_selection_by_keys(selection: Selection, keys: list[str]) -> None:
    assert chosen(selection) == (keys, 2, len(ALL) - len(keys))


def test_companion_files_are_ignored_and_counted() -> None:
    keys = ["._a.jpg", "@eaDir/a.jpg/b.jpg", "__MACOSX/._a.jpg", "a.jpg", "x/.thumbnails/a.png"]
    items = [ObjectInfo(key, 1, "e") for key in keys]
    assert chosen(Selection(), items) == (["a.jpg"], 4, 0)


def test_photographs_in_folders_with_our_names_are_ignored_and_counted() -> None:
    keys = ["_review/a.jpg", "_cutout/b.jpg", "_cutout/b.json", "out/_review/c.png", "d.jpg"]
    items = [ObjectInfo(key, 1, "e") for key in keys]
    assert chosen(Selection(), items) == (["d.jpg"], 2, 0)


def test_a_selection_by_time() -> None:
    items = [ObjectInfo(f"{n}.jpg", 1, "e", float(n)) for n in range(5)]
    assert chosen(Selection(since=3), items) == (["3.jpg", "4.jpg"], 0, 3)


def test_a_sample_is_the_same_each_time_and_from_all_over() -> None:
    items = [ObjectInfo(f"{n:05}.jpg", 1, "e") for n in range(10_000)]
    first, ignored, excluded = chosen(Selection(sample=100), items)
    assert (len(first), ignored, excluded) == (100, 0, 9900)
    assert first == sorted(first)
    random.Random(1).shuffle(items)
    assert chosen(Selection(sample=100), items)[0] == first
    assert set(chosen(Selection(sample=50), items)[0]) < set(first)
    thousands = {key[1] for key in first}
    assert len(thousands) == 10
    assert chosen(Selection(sample=100, limit=3), items) == (first[:3], 0, 9997)


def test_only_changed_photographs(tmp_path: Path) -> None:
    index = OutputIndex(tmp_path / "outputs", Recipe(model="u2netp"))
    index.add([
        ObjectInfo("new.png", 1, "e", 50.0), ObjectInfo("old.png", 1, "e", 200.0),
        ObjectInfo("same.png", 1, "e", 100.0), ObjectInfo("other.txt", 1, "e", 200.0),
        ObjectInfo("unknown.png", 1, "e", 200.0), ObjectInfo("caf\udce9.png", 1, "e", 200.0),
    ])  # fmt: skip
    items = [ObjectInfo(f"{name}.jpg", 1, "e", 100.0) for name in ("new", "old", "same", "other")]
    items += [ObjectInfo("unknown.jpg", 1, "e", 0), ObjectInfo("caf\udce9.jpg", 1, "e", 100.0)]
    keys, _, excluded = chosen(Selection(only_changed=True), items, index)
    assert (keys, excluded) == (["new.jpg", "other.jpg", "unknown.jpg", "caf\udce9.jpg"], 2)
    index.close()


@pytest.mark.parametrize("policy", [Policy(), Policy(no_subject="review")], ids=["none", "review"])
def test_a_photograph_whose_output_is_in_review_is_changed_only_without_review(
    tmp_path: Path, policy: Policy
) -> None:
    index = OutputIndex(tmp_path / "outputs", Recipe(model="u2netp", policy=policy))
    index.add([ObjectInfo("_review/a.png", 1, "e", 200.0), ObjectInfo("b.png", 1, "e", 200.0)])
    items = [ObjectInfo(f"{name}.jpg", 1, "e", 100.0) for name in ("a", "b")]
    keys, _, _ = chosen(Selection(only_changed=True), items, index)
    assert keys == ([] if policy.reviews else ["a.jpg"])
    index.close()


def test_a_kept_matte_must_be_there_too(tmp_path: Path) -> None:
    recipe = Recipe(model="u2netp", keep_matte=True, renditions=(Rendition(format="jpg"),))
    index = OutputIndex(tmp_path / "outputs", recipe)
    outputs = ("a.jpg", "a.matte.png", "b.jpg")
    index.add([ObjectInfo(key, 1, "e", 200.0) for key in outputs])
    items = [ObjectInfo(f"{name}.jpg", 1, "e", 100.0) for name in ("a", "b")]
    assert chosen(Selection(only_changed=True), items, index)[0] == ["b.jpg"]
    index.close()


def test_a_sample_may_hold_names_that_are_not_unicode() -> None:
    items = [ObjectInfo(key, 1, "e") for key in ("\udce9.jpg", "\ud800.jpg", "a.jpg")]
    keys, _, excluded = chosen(Selection(sample=2), items)
    assert (len(keys), excluded) == (2, 1)
