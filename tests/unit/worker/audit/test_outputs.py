import zipfile
from pathlib import Path

import pytest
from PIL import Image

from contract.batch import BatchSpec
from contract.outcome import Outcome, Output, Status
from contract.output_keys import output_key
from contract.recipe import Recipe
from contract.rendition import Rendition
from contract.storage import Blob, open_store
from worker.audit.findings import Fault
from worker.audit.outputs import _decoded_size, check_outputs
from worker.imaging.cutout import Cutout
from worker.imaging.decode import Photograph
from worker.imaging.encode import encode
from worker.imaging.formats import DECODER_ERRORS
from worker.imaging.render import render

SIZE = (24, 18)


def output(rendition: Rendition) -> bytes:
    cutout = Cutout(Photograph(Image.new("RGB", SIZE), None), Image.new("L", SIZE, 99))
    return encode(render(cutout, rendition), rendition)


FORMATS = ("png", "jpg", "webp", "zip")
BROKEN = (*DECODER_ERRORS, zipfile.BadZipFile)


@pytest.mark.parametrize("format_", FORMATS)
def test_outputs_of_every_format_are_decoded(format_: str):
    rendition = Rendition(format=format_)
    data = output(rendition)
    assert _decoded_size(Blob(data, ""), rendition) == SIZE
    others = [output(Rendition(format=other)) for other in FORMATS if other != format_]
    for broken in (data[: len(data) // 2], b"", bytes(len(data)), *others):
        with pytest.raises(BROKEN):
            _decoded_size(Blob(broken, ""), rendition)


def test_an_output_may_have_more_pixels_than_pillow_expects(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert _decoded_size(Blob(output(Rendition()), ""), Rendition()) == SIZE


def test_an_output_that_cannot_be_read_is_a_finding_and_stops_no_other(tmp_path: Path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "folder.png").symlink_to(tmp_path)
    (out / "loop.png").symlink_to("loop.png")
    (tmp_path / "elsewhere.png").write_bytes(b"x")
    (out / "link.png").symlink_to(tmp_path / "elsewhere.png")
    spec = BatchSpec(
        id="b-20260101-000000-000000", source=tmp_path.as_uri(), destination=out.as_uri(),
        recipe=Recipe(model="u2netp"), created=0, total=4, segment_lines=9,
    )  # fmt: skip
    names = ("loop.jpg", "link.jpg", "folder.jpg", "missing.jpg")
    outcomes = [Outcome(line=line, key=name, status=Status.DONE) for line, name in enumerate(names)]
    found = {finding.line: finding.fault for finding in check_outputs(spec, outcomes)}
    assert found == dict(enumerate([Fault.OUTPUT_BROKEN] * 3 + [Fault.OUTPUT_MISSING]))


def test_every_rendition_is_checked_and_of_failed_images_those_written(tmp_path: Path):
    recipe = Recipe(
        model="u2netp", renditions=(Rendition(name="alpha"), Rendition(name="web", format="webp"))
    )
    spec = BatchSpec(
        id="b-20260101-000000-000000", source=tmp_path.as_uri(),
        destination=(tmp_path / "out").as_uri(), recipe=recipe, created=0, total=4, segment_lines=9,
    )  # fmt: skip
    store = open_store(spec.destination)
    for key, rendition in (("a", 0), ("a", 1), ("b", 0), ("c", 1)):
        made = recipe.renditions[rendition]
        metadata = {"source-etag": "e", "recipe": recipe.digest_of(made)}
        data = output(made)
        store.put(output_key(recipe, made)(f"{key}.jpg"), data, made.content_type, metadata)
    small = Output(key="a.web.webp", name="web", width=3, height=3)
    web = Output(key="c.web.webp", name="web")
    outcomes = [
        Outcome(line=0, key="a.jpg", status=Status.DONE, source_etag="e", outputs=[small]),
        Outcome(line=1, key="b.jpg", status=Status.SKIPPED, source_etag="e"),
        Outcome(line=2, key="c.jpg", status=Status.FAILED, source_etag="e", outputs=[web]),
        Outcome(line=3, key="d.jpg", status=Status.FAILED, source_etag="e"),
    ]
    found = [(finding.line, finding.fault) for finding in check_outputs(spec, outcomes)]
    assert found == [(0, Fault.OUTPUT_SIZE), (1, Fault.OUTPUT_MISSING)]

    outcomes[2] = outcomes[2].model_copy(update={"outputs": [*outcomes[2].outputs, Output(
        key="c.alpha.png", name="alpha"
    )]})  # fmt: skip
    found = [(finding.line, finding.fault) for finding in check_outputs(spec, outcomes[2:])]
    assert found == [(2, Fault.OUTPUT_MISSING)]
