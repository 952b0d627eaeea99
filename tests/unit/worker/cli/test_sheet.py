"""`cutout sheet`: which pictures it draws, and what a failure looks like."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from contract import names
from contract.errors import ErrorCode, PermanentError
from contract.outcome import Outcome, Status
from contract.storage import open_store
from contract.storage.json_lines import put_lines
from worker.cli.main import app
from worker.imaging import sheet
from worker.imaging.sheet import GAP, PICTURE_SIDE

BLUE = (20, 60, 250)
STEP = PICTURE_SIDE + GAP


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures: blue on transparency, blue on its own; and a broken one."""
    out = tmp_path / "out"
    (out / "c").mkdir(parents=True)
    picture = Image.new("RGBA", (600, 300))
    picture.paste((*BLUE, 255), (200, 100, 400, 200))
    picture.save(out / "a.png")
    Image.new("RGB", (100, 300), BLUE).save(out / "b.jpg", quality=95)
    (out / "c" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (out / "notes.txt").write_text("no image")
    return out


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["sheet", *map(str, arguments)])


def cells(path: Path, *, row: int = 0) -> list[np.ndarray]:
    """Return the pictures of a row of the sheet, without their captions."""
    sheet_pixels = np.asarray(Image.open(path).convert("RGB"), int)
    top = GAP + row * (STEP + sheet.CAPTION_HEIGHT)
    columns = (sheet_pixels.shape[1] - GAP) // STEP
    lefts = [GAP + column * STEP for column in range(columns)]
    return [sheet_pixels[top : top + PICTURE_SIDE, x : x + PICTURE_SIDE] for x in lefts]


def is_red(cell: np.ndarray) -> bool:
    return cell[1, 1].tolist() == [0xB0, 0, 0x20]


def test_pictures_lie_on_a_checkerboard_in_the_order_of_their_keys(folder: Path):
    path = folder.parent / "sheet.png"
    result = run(folder, "-o", path)
    assert result.exit_code == 0
    assert result.stdout == f"3 pictures: {path}\n"
    first, second, third = cells(path)
    middle = PICTURE_SIDE // 2
    assert first[middle, middle].tolist() == list(BLUE)
    assert {tuple(first[2, x]) for x in (2, 14)} == {(205, 205, 205), (255, 255, 255)}
    assert {tuple(first[middle, 20])} <= {(205, 205, 205), (255, 255, 255)}  # transparent
    assert np.abs(second[10, middle] - BLUE).max() < 8
    assert [is_red(cell) for cell in (first, second, third)] == [False, False, True]


def test_a_picture_keeps_its_colours_at_its_edge(folder: Path):
    """Transparent pixels are black; averaged with them, the edge would be dark."""
    path = folder.parent / "sheet.png"
    run(folder, "-o", path)
    first = cells(path)[0]
    inside = first[80:160, 80:160]
    assert (inside[..., 2] >= 195).all()


def test_failures_of_the_newest_batch_come_first(folder: Path):
    store = open_store(str(folder))
    for batch, key in (
        ("b-20260101-000000-abcdef", "old.jpg"),
        ("b-20260102-000000-abcdef", "x.jpg"),
    ):
        store.put(names.spec_key(batch), b"{}", "application/json")
        rows = [
            Outcome(line=0, key=key, status=Status.FAILED, code=ErrorCode.NO_SUBJECT),
            Outcome(line=1, key="fine.jpg", status=Status.DONE),
        ]
        lines = (row.model_dump_json() for row in rows)
        put_lines(store, names.report_key(batch, "jsonl.gz"), lines)
    path = folder.parent / "sheet.png"
    assert run(folder, "-o", path).stdout.startswith("4 pictures")
    assert [is_red(cell) for cell in cells(path)] == [True, False, False, True]


def test_each_location_begins_a_row_and_an_earlier_sheet_is_left_out(folder: Path):
    other = folder.parent / "photographs"
    other.mkdir()
    Image.new("RGB", (50, 50), BLUE).save(other / "a.png")
    path = folder / "sheet.png"
    for _ in range(2):
        assert run(other, folder, "-o", path).stdout.startswith("4 pictures")
    assert len(cells(path)) == 3
    above, below = cells(path)[0], cells(path, row=1)[0]
    assert (above[120, 120].tolist(), below[120, 120].tolist()) == ([*BLUE], [*BLUE])
    assert (cells(path)[1] == 255).all()


def test_a_sheet_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("worker.cli.sheet.MAX_CELLS", 2)
    result = run(folder, folder, "-o", folder.parent / "sheet.jpg")
    assert result.stdout.startswith("2 pictures")
    assert "Only the first 2 pictures" in result.stderr


def test_many_pictures_fill_rows_of_eight():
    tiles = (sheet.Tile(str(number), None, "no_subject") for number in range(11))
    picture = sheet.draw_sheet([9, 2], tiles)
    assert picture.size == (8 * STEP + GAP, 3 * (STEP + sheet.CAPTION_HEIGHT) + GAP)


def test_nothing_to_draw_and_other_formats_are_errors(tmp_path: Path):
    result = run(tmp_path, "-o", tmp_path / "sheet.png")
    assert isinstance(result.exception, PermanentError)
    assert result.exception.code is ErrorCode.NOTHING_TO_DO
    assert run(tmp_path, "-o", tmp_path / "sheet.gif").exit_code == 2
