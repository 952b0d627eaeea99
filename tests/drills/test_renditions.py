"""Several renditions of each photograph, while workers are killed between their outputs."""

import time

import pytest
from support.drill import Drill
from support.stand_in import mark

from contract.recipe import Recipe
from contract.rendition import Rendition

RECIPE = Recipe(
    model="u2netp",
    renditions=(
        Rendition(name="alpha"),
        Rendition(name="white", format="jpg", background="#ffffff"),
        Rendition(name="thumb", format="webp", max_side=80),
    ),
)
TIMES = {"CUTOUT_VISIBILITY_TIMEOUT": "12", "CUTOUT_TIME_LIMIT": "8"}


def written(drill: Drill, count: int, kills: int) -> dict[str, list[str]]:
    """Kill workers while a batch is processed; return the renditions of each key, by its outcome.

    Asserts that the outputs are these and no other, and that an audit finds nothing.
    """
    drill.fill(count)
    for number in range(count):
        mark(drill.key_path(number), "slow:0.1")
    spec = drill.submit(recipe=RECIPE)
    drill.cluster.env.update(TIMES)
    drill.cluster.start_dispatcher()
    drill.cluster.start_quarantine()
    for number in range(kills):
        drill.cluster.start_worker(name=f"doomed {number}")
        drill.settled(spec, count * (number + 1) // (kills + 2))
        drill.cluster.kill(f"doomed {number}")
    killed = time.monotonic()
    drill.cluster.start_worker()
    drill.closed(spec)
    took = time.monotonic() - killed

    bound = float(TIMES["CUTOUT_VISIBILITY_TIMEOUT"]) + 15 + count / 4
    counts = drill.passed(spec, f"SIGKILL to {kills} workers, one after the other", bound, took)
    assert counts["done"] == count
    files = {
        path.relative_to(drill.out).as_posix()
        for path in drill.out.rglob("*.*")
        if path.is_file() and "_cutout" not in path.parts
    }
    stems = [drill.key(number).removesuffix(".jpg") for number in range(count)]
    suffixes = (".alpha.png", ".white.jpg", ".thumb.webp")
    assert files == {stem + suffix for stem in stems for suffix in suffixes}
    rows = drill.outcomes(spec).values()
    return {row.key: [output.name for output in row.outputs] for row in rows}


NAMES = [rendition.name for rendition in RECIPE.renditions]


def test_renditions_survive_killed_workers(drill: Drill) -> None:
    assert written(drill, 30, 2) == {drill.key(number): NAMES for number in range(30)}


@pytest.mark.long
def test_200_photographs_with_three_renditions_survive_killed_workers(drill: Drill) -> None:
    assert written(drill, 200, 8) == {drill.key(number): NAMES for number in range(200)}


def test_a_further_rendition_is_made_and_the_others_are_left(drill: Drill) -> None:
    drill.fill(20)
    first = RECIPE.model_copy(update={"renditions": RECIPE.renditions[:2]})
    drill.cluster.start_dispatcher()
    drill.cluster.start_worker()
    drill.closed(drill.submit(recipe=first))
    before = {path: path.stat().st_mtime_ns for path in drill.out.rglob("*.alpha.png")}
    spec = drill.submit(recipe=RECIPE)
    drill.closed(spec)
    assert drill.audit(spec)["done"] == 20
    assert {path: path.stat().st_mtime_ns for path in drill.out.rglob("*.alpha.png")} == before
    assert len(before) == len(list(drill.out.rglob("*.thumb.webp"))) == 20
    again = drill.submit(recipe=RECIPE)
    drill.closed(again)
    assert drill.audit(again)["skipped"] == 20

    broken = drill.out / drill.key(3).replace(".jpg", ".thumb.webp")
    broken.write_bytes(broken.read_bytes()[:100])
    audit = drill.cutout("audit", again.id)
    assert audit.returncode != 0
    assert "thumb.webp" in audit.stdout + audit.stderr
