import zipfile

import pytest
from PIL import Image

from contract.rendition import Rendition
from contract.storage import Blob
from worker.audit.outputs import _decoded_size
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
