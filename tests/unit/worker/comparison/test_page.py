"""The page of a comparison: one file, the worst first, and safe with hostile names."""

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from contract import names
from contract.errors import ErrorCode
from contract.outcome import Outcome, Output, Status
from contract.storage import open_store
from contract.storage.json_lines import put_lines
from worker.comparison.page import MAX_SHOWN, page
from worker.comparison.pairs import pairs

HOSTILE = '"><script>alert(1)</script>{PAIRS}\n\u202egpj.exe.jpg'
BATCH = "b-20260101-000000-000000"


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def matte(width: int) -> bytes:
    image = Image.new("L", (60, 40), 0)
    image.paste(255, (0, 0, width, 40))
    return png(image)


def batch(folder: Path, widths: dict[str, int | None]) -> str:
    """Write the files of a batch whose mattes are this wide; None: the photograph failed."""
    store, rows = open_store(folder.as_uri()), []
    for line, (key, width) in enumerate(widths.items()):
        if width is None:
            row = Outcome(line=line, key=key, status=Status.FAILED, code=ErrorCode.CORRUPT_IMAGE)
        else:
            made = {"": f"{line}.png", "matte": f"{line}.matte.png"}
            store.put(f"{line}.matte.png", matte(width), "image/png")
            store.put(f"{line}.png", png(Image.new("RGBA", (60, 40), "red")), "image/png")
            outputs = [Output(name=name, key=output) for name, output in made.items()]
            row = Outcome(line=line, key=key, status=Status.DONE, outputs=outputs)
        rows.append(row.model_dump_json())
    put_lines(store, names.report_key(BATCH, "jsonl.gz"), rows)
    return folder.as_uri()


class Resources(HTMLParser):
    """Collects what a page would load, and its captions."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag, attributes) -> None:
        self.tags.append(tag)
        loading = {"src", "href", "srcset", "data", "action", "poster"}
        self.sources += [value for name, value in attributes if name in loading]
        assert not [name for name, _ in attributes if name.startswith("on")]


def captions(text: str) -> list[str]:
    return re.findall(r"<figcaption>(.*?)<br>", text, re.DOTALL)


@pytest.fixture
def compared(tmp_path: Path):
    def compare(first: dict[str, int | None], second: dict[str, int | None]) -> str:
        places = batch(tmp_path / "a", first), batch(tmp_path / "b", second)
        return page(("u2net", HOSTILE), [*pairs(*places)])

    return compare


def test_mattes_may_have_more_pixels_than_pillow_opens(compared, monkeypatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert "IoU 1.0000" in compared({"a.jpg": 30}, {"a.jpg": 30})


def test_the_photographs_that_differ_most_come_first(compared) -> None:
    first = {"same.jpg": 30, "half.jpg": 30, "failed.jpg": 30, "both.jpg": None, "little.jpg": 30}
    second = {
        "same.jpg": 30,
        "half.jpg": 15,
        "failed.jpg": None,
        "both.jpg": None,
        "little.jpg": 29,
    }
    text = compared(first, second)
    assert captions(text) == ["failed.jpg", "half.jpg", "little.jpg", "same.jpg", "both.jpg"]
    assert "IoU 0.5000" in text
    assert "B: corrupt_image" in text
    assert "5 photographs; 3 mattes compared. Failed: 1 by A, 2 by B." in text


def test_it_is_one_file_that_loads_nothing(compared) -> None:
    widths = {"a.jpg": 10, "b.jpg": 20}
    text = compared(widths, widths)
    found = Resources()
    found.feed(text)
    assert len(found.sources) == 4
    assert all(source.startswith("data:image/webp;base64,") for source in found.sources)
    assert "http" not in re.sub('data:[^"]*|http-equiv', "", text)
    assert "default-src 'none'" in text


def test_hostile_names_are_text(compared) -> None:
    text = compared({HOSTILE: 10}, {HOSTILE: 20})
    found = Resources()
    found.feed(text)
    assert found.tags.count("script") == 1
    assert found.tags.count("figure") == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;{PAIRS}" in text
    assert "\u202e" not in text


@pytest.mark.slow
def test_only_the_worst_are_shown_and_all_are_counted(compared) -> None:
    widths = {f"{number:03}.jpg": 30 for number in range(MAX_SHOWN + 5)}
    text = compared(widths, widths)
    assert len(captions(text)) == MAX_SHOWN
    assert "<tr><th>0.995 to 1</th><td>55</td>" in text
    assert "<tr><th>0 to 0.005</th><td>55</td>" in text
