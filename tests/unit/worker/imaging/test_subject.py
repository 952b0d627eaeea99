from PIL import Image, ImageDraw

from worker.imaging.subject import NOISE_ALPHA, subject_box


def matte(size: tuple[int, int], box: tuple[int, int, int, int], alpha: int = 255) -> Image.Image:
    image = Image.new("L", size, 0)
    image.paste(alpha, box)
    return image


def test_the_subjects_box_is_exact():
    assert subject_box(matte((50, 40), (7, 9, 30, 31))) == (7, 9, 30, 31)
    assert subject_box(matte((50, 40), (0, 0, 50, 40))) == (0, 0, 50, 40)
    assert subject_box(matte((1, 1), (0, 0, 1, 1))) == (0, 0, 1, 1)
    assert subject_box(matte((50, 40), (49, 39, 50, 40))) == (49, 39, 50, 40)
    assert subject_box(matte((50, 40), (7, 9, 30, 31), NOISE_ALPHA)) is None
    assert subject_box(matte((50, 40), (7, 9, 30, 31), NOISE_ALPHA + 1)) == (7, 9, 30, 31)


def test_haze_elsewhere_does_not_widen_the_subject_and_its_own_soft_edge_does():
    alpha = matte((100, 100), (40, 40, 60, 60))
    draw = ImageDraw.Draw(alpha)
    draw.rectangle((0, 0, 9, 9), fill=12)  # a corner
    draw.rectangle((90, 95, 99, 99), fill=NOISE_ALPHA)
    draw.rectangle((35, 45, 39, 55), fill=3)  # the subject's soft edge
    draw.rectangle((0, 45, 20, 55), fill=25)  # beside it, and apart
    draw.rectangle((45, 0, 55, 20), fill=25)
    assert subject_box(alpha) == (35, 40, 60, 60)


def test_solid_parts_belong_to_the_subject_wherever_they_are():
    alpha = matte((100, 100), (40, 40, 60, 60))
    ImageDraw.Draw(alpha).point((98, 2), fill=60)
    assert subject_box(alpha) == (40, 2, 99, 60)


def test_a_translucent_subject_has_a_box_too():
    assert subject_box(matte((50, 40), (7, 9, 30, 31), alpha=9)) == (7, 9, 30, 31)
