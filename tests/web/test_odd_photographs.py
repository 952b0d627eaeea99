"""Photographs as old cameras, scanners and shops leave them, through the API."""

import io

from PIL import Image
from support.odd_photographs import (
    MEAN_TOLERANCE,
    SIZE,
    coffee,
    mean_difference,
    readable,
    refused,
)
from support.serving import Server


def test_odd_photographs_are_read_right(shared: Server) -> None:
    quality = {"quality": '{"refine": "none", "passes": 1}'}
    wrong = {}
    for name, odd in readable(coffee()).items():
        cutout = shared.upload(odd.data, name, wait=60, data=quality).json()
        assert cutout["status"] == "done", (name, cutout)
        output = Image.open(io.BytesIO(shared.client.get(cutout["image"]).content))
        assert output.size == (cutout["width"], cutout["height"]) == SIZE, name
        difference = mean_difference(output, odd.shown)
        if difference >= MEAN_TOLERANCE:
            wrong[name] = difference
    assert not wrong


def test_what_is_not_read_is_refused_by_name(shared: Server) -> None:
    for name, (data, code) in refused(coffee()).items():
        cutout = shared.upload(data, name, wait=60).json()
        assert (cutout["status"], cutout["code"]) == ("failed", code), (name, cutout)
