"""What the presets write passes their own requirements."""

import pytest
from PIL import Image

from contract.presets import PRESETS
from worker.imaging.cutout import Cutout
from worker.imaging.decode import Limits, Photograph
from worker.imaging.encode import encode
from worker.imaging.render import render
from worker.verify import verify


@pytest.mark.parametrize("name", PRESETS)
def test_a_large_photograph_passes_every_preset(name: str):
    """A subject of 2,000 pixels with hard colours, off the middle."""
    size, box = (2600, 2200), (100, 200, 2100, 1300)
    rgb, matte = Image.new("RGB", size, (30, 90, 60)), Image.new("L", size)
    rgb.paste(Image.effect_noise((2000, 1100), 90).convert("RGB"), box[:2])
    matte.paste(255, box)
    preset = PRESETS[name]
    data = encode(render(Cutout(Photograph(rgb, None), matte), preset.rendition), preset.rendition)
    assert verify(data, preset, Limits()).failures == ""
