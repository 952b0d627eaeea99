"""Several renditions of each photograph, while workers are killed between their outputs."""

import io
import time

import pytest
from PIL import Image
from support.catalogue import photograph
from support.drill import Drill
from support.stand_in import mark

from contract.recipe import Recipe
from contract.rendition import Rendition
from contract.storage import open_store

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


def test_a_batch_is_rendered_again_from_its_mattes(drill: Drill) -> None:
    drill.fill(6)
    drill.cluster.start_dispatcher()
    drill.cluster.start_worker()
    spec = drill.submit(recipe=Recipe(model="u2netp", keep_matte=True))
    drill.closed(spec)
    assert drill.audit(spec)["done"] == 6
    # a matte that no network would make shows that it is used
    store, key = open_store(spec.destination), drill.key(1).replace(".jpg", ".matte.png")
    store.put(key, white_matte(), "image/png", store.head(key).metadata)
    photograph(drill.key_path(2), seed=77)
    store.delete(drill.key(3).replace(".jpg", ".matte.png"))

    recipe = drill.catalogue.parent / "jpegs.yaml"
    recipe.write_text("renditions: [{format: jpg}]")
    arguments = ("render", spec.id, "--recipe", str(recipe), "--name", "again")
    answer = drill.cutout(*arguments)
    assert answer.returncode == 0, answer.stderr
    again = drill.cluster.ledger.batches.progress(answer.stdout.strip()).spec
    drill.closed(again)
    assert drill.audit(again)["done"] == 6
    made = {
        number: [output.bytes > 0 for output in drill.outcomes(again)[drill.key(number)].outputs]
        for number in range(6)
    }
    # the white JPEG, and the matte where it was missing or of another photograph
    assert made == {0: [True, False], 1: [True, False], 2: [True] * 2, 3: [True] * 2,
                    4: [True, False], 5: [True, False]}  # fmt: skip
    with Image.open(drill.out / drill.key(1)) as image:
        assert image.getpixel((0, 0)) < (70, 70, 70)  # the photograph's dark background
    with Image.open(drill.out / drill.key(0)) as image:
        assert image.getpixel((0, 0)) == (255, 255, 255)
    assert drill.cutout(*arguments).stdout == answer.stdout
    refused = drill.cutout("render", spec.id)
    assert refused.returncode == 2


def white_matte() -> bytes:
    file = io.BytesIO()
    Image.new("L", (160, 120), 255).save(file, "PNG")
    return file.getvalue()
