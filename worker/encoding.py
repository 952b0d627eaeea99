"""Makes the files of several renditions of one cut-out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image

from contract.errors import ErrorCode
from contract.recipe import MATTE
from contract.rendition import Rendition
from worker.attempt import Attempt
from worker.imaging.cutout import Cutout, joined
from worker.imaging.encode import encode
from worker.imaging.layout import Size
from worker.imaging.render import render
from worker.imaging.subject import clear_outside
from worker.verify import fails_preset


@dataclass(frozen=True, slots=True)
class EncodedFile:
    """The bytes of an output, ready to be stored."""

    rendition: Rendition
    data: bytes
    size: Size
    """(width, height) in pixels"""
    cutout: Cutout
    """what it shows, on the photograph's canvas"""
    review: ErrorCode | None
    """why it goes to review; None: it is delivered"""


def encode_all(
    cutout: Cutout, renditions: Sequence[Rendition], backdrop: Image.Image | None, attempt: Attempt
) -> list[EncodedFile]:
    """Return the files of the renditions that can be made; note the others on the attempt.

    `backdrop`: an image (mode RGB) that fills the canvas behind the subject.
    """
    files = []
    if len(set(renditions) - {MATTE}) > 1:
        cutout = joined(cutout)
    for rendition in renditions:
        with attempt.failing_alone(rendition):
            shown = clear_outside(cutout, rendition.roi)
            of_matte = replace(shown, alpha=shown.matte) if shown.matte else shown
            picture = render(of_matte if rendition == MATTE else shown, rendition)
            data = encode(picture, rendition, backdrop)
            failed = fails_preset(data, rendition, attempt.recipe.policy)
            review = attempt.review or (ErrorCode.PRESET_FAILED if failed else None)
            review = None if rendition == MATTE else review
            files.append(EncodedFile(rendition, data, picture.size, shown, review))
    return files
