"""Makes the files of several renditions of one cut-out."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from contract.rendition import Rendition
from worker.attempt import Attempt
from worker.imaging.cutout import Cutout, joined
from worker.imaging.encode import encode
from worker.imaging.layout import Size
from worker.imaging.render import render
from worker.imaging.subject import clear_outside
from worker.verify import require_preset


@dataclass(frozen=True, slots=True)
class EncodedFile:
    """The bytes of an output, ready to be stored."""

    rendition: Rendition
    data: bytes
    size: Size
    """(width, height) in pixels"""
    cutout: Cutout
    """what it shows, on the photograph's canvas"""


def encode_all(
    cutout: Cutout, renditions: Sequence[Rendition], backdrop: Image.Image | None, attempt: Attempt
) -> list[EncodedFile]:
    """Return the files of the renditions that can be made; note the others on the attempt.

    `backdrop`: an image (mode RGB) that fills the canvas behind the subject.
    """
    files = []
    if len(renditions) > 1:
        cutout = joined(cutout)
    for rendition in renditions:
        with attempt.failing_alone(rendition):
            shown = clear_outside(cutout, rendition.roi)
            picture = render(shown, rendition)
            data = encode(picture, rendition, backdrop)
            require_preset(data, rendition)
            files.append(EncodedFile(rendition, data, picture.size, shown))
    return files
