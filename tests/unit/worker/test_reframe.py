"""Photographs that are ready are only framed, if the recipe says so."""

from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from support.one_worker import BATCH, OTHER_BATCH, Worker

from contract.outcome import Outcome, Status
from contract.recipe import Recipe
from contract.rendition import Rendition
from contract.storage import open_store

WHITE = Rendition(format="jpg", quality=95, canvas="1:1", scale=80)
REFRAMING = Recipe(model="u2netp", reframe=True, renditions=(WHITE,))


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path)


def run(worker: Worker, recipe: Recipe, batch: str = BATCH) -> Outcome:
    etag = open_store(worker.source.as_uri()).head("a.png").etag
    worker.job = worker.open(batch, recipe=recipe, etag=etag)
    return worker.process()


def save(worker: Worker, mode: str, background: str | tuple[int, ...]) -> Image.Image:
    image = Image.new(mode, (80, 60), background)
    ImageDraw.Draw(image).rectangle((24, 16, 55, 39), fill="green")
    image.save(worker.source / "a.png")
    return image


def test_a_subject_on_white_keeps_its_pixels_and_needs_no_network(worker: Worker):
    save(worker, "RGB", "white")
    outcome = run(worker, REFRAMING)
    assert (outcome.status, outcome.matte_from, worker.model.runs) == (Status.DONE, "white", 0)
    with Image.open(worker.folder / "out/a.jpg") as image:
        assert image.size == (40, 40)  # the subject of 32 x 24 pixels takes 80 % of the width
        assert image.getpixel((0, 0)) == (255, 255, 255)
        assert image.getpixel((20, 20))[1] == pytest.approx(128, abs=3)
    assert run(worker, REFRAMING, OTHER_BATCH).status is Status.SKIPPED


def test_a_cut_out_keeps_its_alpha(worker: Worker):
    save(worker, "RGBA", (0, 0, 0, 0))
    recipe = Recipe(
        model="u2netp", reframe=True, keep_matte=True, renditions=(Rendition(crop=True),)
    )
    outcome = run(worker, recipe)
    assert (outcome.matte_from, worker.model.runs) == ("transparency", 0)
    with Image.open(worker.folder / "out/a.png") as image:
        assert image.size == (32, 24)
        assert image.getchannel("A").getextrema() == (255, 255)
    again = recipe.model_copy(update={"renditions": (Rendition(crop=True, max_side=16),)})
    assert run(worker, again, OTHER_BATCH).matte_from == "kept"


OTHERS = {
    "transparent": (Rendition(),),
    "coloured": (Rendition(format="jpg", background="#ff0000"),),
    "one of two": (WHITE.model_copy(update={"name": "a"}), Rendition(name="b")),
    "a drawn shadow": (Rendition(format="jpg", shadow="contact"),),
    "the matte": (Rendition(channels="alpha"),),
}


@pytest.mark.parametrize("renditions", OTHERS.values(), ids=OTHERS)
def test_on_white_only_if_all_outputs_are_on_white(worker: Worker, renditions):
    save(worker, "RGB", "white")
    outcome = run(worker, Recipe(model="u2netp", reframe=True, renditions=renditions))
    assert (outcome.status, outcome.matte_from, worker.model.runs) == (Status.DONE, "", 1)


def test_a_kept_matte_is_no_output_on_white(worker: Worker):
    save(worker, "RGB", "white")
    run(worker, REFRAMING.model_copy(update={"keep_matte": True}))
    assert worker.model.runs == 1


SAME_KEY = WHITE.model_copy(update={"name": "a", "key": "{stem}.{ext}"})
MATTED = {
    "another rendition": {"renditions": (SAME_KEY, Rendition(name="b"))},
    "the matte": {"keep_matte": True},
}


@pytest.mark.parametrize("fields", MATTED.values(), ids=MATTED)
def test_what_the_network_cut_out_is_not_current_if_white_is_recognised(worker: Worker, fields):
    save(worker, "RGB", "white")
    assert run(worker, REFRAMING.model_copy(update=fields)).matte_from == ""
    outcome = run(worker, REFRAMING, OTHER_BATCH)
    assert (outcome.status, outcome.matte_from) == (Status.DONE, "white")


def test_other_recipes_ask_the_network(worker: Worker):
    save(worker, "RGB", "white")
    outcome = run(worker, Recipe(model="u2netp", renditions=(WHITE,)))
    assert (outcome.matte_from, worker.model.runs) == ("", 1)
    # and what they made is not current for one that frames
    assert run(worker, REFRAMING, OTHER_BATCH).status is Status.DONE


def test_a_photograph_on_another_background_is_processed(worker: Worker):
    save(worker, "RGB", "blue")
    outcome = run(worker, REFRAMING)
    assert (outcome.status, outcome.matte_from, worker.model.runs) == (Status.DONE, "", 1)
