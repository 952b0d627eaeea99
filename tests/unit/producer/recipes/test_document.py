"""Recipes that users write: read, or refused with the line and the field."""

import json
from pathlib import Path

import pytest

from contract.errors import ErrorCode, PermanentError
from contract.presets import PRESETS
from contract.quality import Quality
from contract.recipe import Recipe
from contract.rendition import Rendition
from producer.recipes.document import RecipeDocument, from_text, of_presets, read
from producer.recipes.yaml_text import MAX_BYTES

SHOP = """\
# what the shop needs
model: u2net-int8
quality:
  refine: edges
  passes: 1
renditions:
  - name: alpha
  - name: white
    format: jpg
    background: "#fff"
    canvas: 1:1
    scale: 85
  - {name: thumb, format: webp, max_side: 800, key: "thumbs/{dir}/{stem}.{ext}"}
"""


@pytest.mark.parametrize("number", ["1e-1", "1E-1", "0.10000000000000001", "100e-3"])
def test_every_form_of_a_number_in_json_is_one(number: str) -> None:
    text = f'{{"renditions": [{{"size": {number}}}]}}'
    assert from_text(text.encode()).renditions == (Rendition(size=0.1),)


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999", "1" * 5000])
def test_what_is_no_number_in_json_is_refused(number: str) -> None:
    with pytest.raises(PermanentError) as caught:
        from_text(f'{{"renditions": [{{"size": {number}}}]}}'.encode())
    assert caught.value.code is ErrorCode.INVALID_RECIPE


def test_yaml_and_json_are_the_same_recipe() -> None:
    document = from_text(SHOP.encode())
    assert document.model == "u2net-int8"
    assert document.quality == Quality(passes=1)
    assert document.renditions == (
        Rendition(name="alpha"),
        Rendition(name="white", format="jpg", background="#ffffff", canvas="1:1", scale=85),
        Rendition(name="thumb", format="webp", max_side=800, key="thumbs/{dir}/{stem}.{ext}"),
    )
    text = json.dumps(document.model_dump(mode="json"), indent="\t")
    assert from_text(text.encode()) == document
    assert from_text(b"\xef\xbb\xbf" + text.encode()) == document


def test_a_recipe_may_leave_its_model_to_the_command() -> None:
    document = from_text(b"renditions: [{}]")
    assert document.recipe("u2netp") == Recipe(model="u2netp")
    assert from_text(b"model: silueta").recipe("u2netp").model == "silueta"
    with pytest.raises(PermanentError) as caught:
        document.recipe("u3net")
    assert caught.value.code is ErrorCode.MODEL_UNKNOWN


INVALID = {
    "empty": (b"", 1, "empty"),
    "a list": (b"- a", 1, "must be an object"),
    "syntax": (b"model: u2netp\nrenditions: [", 2, ""),
    "json syntax": (b'{\n"model": }', 2, "Expecting value"),
    "twice": (b"model: u2netp\nquality: {}\nmodel: silueta", 3, "model: The field occurs twice."),
    "unknown": (b"model: u2netp\nrendition: {}", 2, "rendition: "),
    "a colour without quotes": (
        b"renditions:\n  - background: #ffffff",
        2,
        "renditions.0.background: The value is missing",
    ),
    "a value": (b"renditions:\n- name: a\n- name: b\n  scale: 5", 4, "renditions.1.scale: "),
    "a text for a number": (b'renditions:\n- scale: "50"', 2, "renditions.0.scale: "),
    "a word for true": (b"renditions:\n- crop: yes", 2, "renditions.0.crop: "),
    "a name too few": (
        b"model: u2netp\n\nrenditions:\n- {}\n- {format: jpg}",
        3,
        "renditions: several renditions",
    ),
    "missing field in json": (b'{"renditions": [\n{"name": "a"},\n{"nam": "b"}]}', 3, "nam"),
    "an alias": (b"quality: &a {}\nrenditions: [*a]", 1, "Anchors and aliases"),
    "billion laughs": (b"a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]", 1, "Anchors and aliases"),
    "a tag": (b"model: !!python/object/apply:os.system [ls]", 1, "Tags"),
    "a merge": (b"quality:\n  <<: {}", 2, "plain word"),
    "a complex name": (b"? [a]\n: b", 1, "plain word"),
    "depth": (b"a: " + b"[" * 60_000, 1, ""),
    "json depth": (b'{"a": ' + b"[" * 60_000, 1, ""),
    "nested": (b"a: " + b"[" * 9 + b"]" * 9, 1, "within each other"),
    "a control character": (b"model: a\x07", 1, "characters that YAML does not allow"),
    "two documents": (b"model: u2netp\n---\nmodel: u2net", 2, ""),
}


@pytest.mark.parametrize(("text", "line", "message"), INVALID.values(), ids=INVALID)
def test_an_error_names_the_line_and_the_field(text: bytes, line: int, message: str) -> None:
    with pytest.raises(PermanentError) as caught:
        from_text(text)
    assert caught.value.code is ErrorCode.INVALID_RECIPE
    assert caught.value.message.startswith(f"Line {line}: ")
    assert message in caught.value.message
    assert "\n" not in caught.value.message


def test_an_unknown_model_is_named_with_its_line() -> None:
    with pytest.raises(PermanentError) as caught:
        from_text(b"# a\nmodel: u3net")
    assert (caught.value.code, caught.value.message[:14]) == (
        ErrorCode.MODEL_UNKNOWN, "Line 2: model:",
    )  # fmt: skip


@pytest.mark.parametrize("text", [b"x" * (MAX_BYTES + 1), b"\xff\xfe\x00"])
def test_what_is_no_document_is_refused(text: bytes) -> None:
    with pytest.raises(PermanentError) as caught:
        from_text(text)
    assert caught.value.code is ErrorCode.INVALID_RECIPE


def test_renditions_of_presets_are_named_after_them() -> None:
    assert of_presets(["alpha"]) == RecipeDocument(renditions=(Rendition(name="alpha"),))
    assert of_presets(["white"]).renditions == (PRESETS["white"].rendition,)
    names = ["alpha", "amazon-main", "mask"]
    several = of_presets(names)
    assert [rendition.name for rendition in several.renditions] == names
    assert [rendition.is_plain for rendition in several.renditions] == [True, False, False]


def test_presets_that_cannot_be_combined_are_refused() -> None:
    for names, code in (
        (["alpha", "alpha"], ErrorCode.INVALID_RECIPE),
        (["amazon"], ErrorCode.RECIPE_UNKNOWN),
    ):
        with pytest.raises(PermanentError) as caught:
            of_presets(names)
        assert caught.value.code is code


def test_all_presets_are_recipes() -> None:
    for name in PRESETS:
        document = read(name)
        text = json.dumps(document.model_dump(mode="json", exclude_defaults=True))
        assert from_text(text.encode()) == document


def test_a_file_and_a_preset_are_told_apart(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("shop.yaml").write_text(SHOP)
    assert read("shop.yaml") == read(str(tmp_path / "shop.yaml")) == from_text(SHOP.encode())
    Path("recipe").write_text("model: silueta")
    assert read("recipe").model == "silueta"
    for missing in ("shop.yml", "./white", "nothing", "/", "x" * 5000 + ".yaml"):
        with pytest.raises(PermanentError) as caught:
            read(missing)
        assert caught.value.code is ErrorCode.RECIPE_UNKNOWN
    Path("shop.yaml").write_text("renditions:\n- formt: jpg")
    with pytest.raises(PermanentError, match=r"shop\.yaml: Line 2: renditions\.0\.formt: "):
        read("shop.yaml")


def test_verify_checks_every_rendition_against_the_preset_of_its_name() -> None:
    text = b"verify: true\nrenditions:\n- name: alpha\n- {name: shop, format: jpg, verify: white}"
    alpha, shop = from_text(text).recipe("u2netp").renditions
    assert (alpha.verify, shop.verify) == ("alpha", "white")
    [alpha] = of_presets(["alpha"]).recipe("u2netp").renditions
    assert alpha.verify is None
    with pytest.raises(PermanentError, match="'mine' is none: name a preset") as caught:
        from_text(b"verify: true\nrenditions: [{name: alpha}, {name: mine}]")
    assert caught.value.code is ErrorCode.INVALID_RECIPE


def test_a_region_is_still_a_list() -> None:
    text = b"verify: false\nrenditions: [{name: a, roi: [0px, 0px, 5px, 5px]}]"
    assert from_text(text).renditions[0].roi == ("0px", "0px", "5px", "5px")
