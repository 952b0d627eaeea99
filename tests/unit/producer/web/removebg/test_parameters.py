import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageColor

from contract.errors import ErrorCode
from contract.outcome import Outcome, Status
from contract.rendition import PLAIN, Rendition
from producer.web.removebg.css_colours import COLOURS
from producer.web.removebg.parameters import (
    FAILURES,
    RefusedError,
    error_body,
    failure,
    headers,
    parse,
    texts,
)

FULL = {"image_url": "https://example.com/a.jpg", "size": "full"}


def rendition(**form: str) -> Rendition:
    return parse(FULL | form).rendition


def refused(form: dict[str, str]) -> dict[str, str]:
    with pytest.raises(RefusedError) as caught:
        parse(form)
    assert caught.value.status == 400
    assert list(caught.value.body) == ["errors"]
    (error,) = caught.value.body["errors"]
    assert set(error) == {"title", "code", "detail"}
    assert error["code"] == caught.value.code
    return error


# the source


@pytest.mark.parametrize("source", ["image_file", "image_file_b64", "image_url"])
def test_one_source_is_given(source: str):
    assert parse({source: "x"}).source == source
    others = {"image_file": "", "image_file_b64": " ", "image_url": ""}
    assert parse(others | {source: "x"}).source == source


def test_no_source_and_two_sources_are_refused():
    assert refused({"size": "auto"})["code"] == "missing_source"
    assert refused({})["code"] == "missing_source"
    assert refused({"image_url": ""})["code"] == "missing_source"
    assert refused({"image_url": "a", "image_file": "b"})["code"] == "multiple_sources"


# what is carried out


@pytest.mark.parametrize(
    ("size", "megapixels"),
    [
        ("preview", 0.25), ("small", 0.25), ("regular", 0.25), ("medium", 1.5), ("hd", 4.0),
        ("full", None), ("4k", None), ("auto", None), ("50MP", None),
    ],
)  # fmt: skip
def test_sizes(size: str, megapixels: float | None):
    assert rendition(size=size).size == megapixels


def test_what_nobody_says_is_as_at_remove_bg():
    """A preview, and a PNG, as a cut-out is transparent somewhere."""
    assert parse({"image_url": "a"}).rendition == Rendition(size=0.25)
    assert rendition() == PLAIN


EVERYTHING_SAID = {
    "size": "full", "type": "auto", "type_level": "none", "format": "auto",
    "roi": "0% 0% 100% 100%",
    "crop": "false", "crop_margin": "0", "scale": "original", "position": "original",
    "channels": "rgba", "add_shadow": "false", "shadow_type": "none", "shadow_opacity": "",
    "semitransparency": "true", "bg_color": "", "bg_image_url": "", "bg_image_file": "",
}  # fmt: skip


def test_defaults_that_are_said_change_nothing():
    assert rendition(**EVERYTHING_SAID) == PLAIN


@pytest.mark.parametrize(
    ("form", "wanted"),
    [
        ({"format": "png"}, {}),
        ({"format": "jpg"}, {"format": "jpg"}),
        ({"format": "PNG"}, {}),
        ({"bg_color": "fff"}, {"format": "jpg", "background": "#ffffff"}),  # nothing transparent
        ({"bg_color": "fff", "format": "auto"}, {"format": "jpg", "background": "#ffffff"}),
        ({"bg_color": "fff", "format": "png"}, {"background": "#ffffff"}),
        ({"bg_color": "81d4fa77"}, {"background": "#81d4fa77"}),
        ({"bg_color": "81d4fa77", "format": "png"}, {"background": "#81d4fa77"}),
        ({"channels": "alpha"}, {"channels": "alpha"}),
        ({"channels": "alpha", "format": "png"}, {"channels": "alpha"}),
        ({"crop": "true"}, {"crop": True}),
        ({"crop": "True"}, {"crop": True}),
        ({"crop": "1"}, {"crop": True}),
        ({"crop": "true", "crop_margin": "30px"}, {"crop": True, "crop_margin": ("30px",) * 4}),
        (
            {"crop": "true", "crop_margin": "30px 10%"},
            {"crop": True, "crop_margin": ("30px", "10%", "30px", "10%")},
        ),
        (
            {"crop": "true", "crop_margin": "1px 2px  3px 4%"},
            {"crop": True, "crop_margin": ("1px", "2px", "3px", "4%")},
        ),
        ({"scale": "50%"}, {"scale": 50}),
        ({"scale": "10.5%"}, {"scale": 10.5}),
        ({"position": "center"}, {"position": (50, 50)}),
        ({"position": "20%"}, {"position": (20, 20)}),
        ({"position": "20% 80.5%"}, {"position": (20, 80.5)}),
        ({"scale": "80%", "position": "0% 100%"}, {"scale": 80, "position": (0, 100)}),
        ({"roi": "10px 20px 50% 90%"}, {"roi": ("10px", "20px", "50%", "90%")}),
        ({"type": "product"}, {}),
    ],
    ids=str,
)
def test_parameters_are_carried_out(form: dict[str, str], wanted: dict):
    assert rendition(**form) == Rendition(**wanted)


# colours


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        ("81d4fa", "#81d4fa"), ("#81d4fa", "#81d4fa"), ("81D4FA", "#81d4fa"), ("fff", "#ffffff"),
        ("#fff", "#ffffff"), ("f808", "#ff880088"), ("81d4fa77", "#81d4fa77"),
        ("81d4faff", "#81d4fa"), ("green", "#008000"), ("Green", "#008000"),
        ("rebeccapurple", "#663399"), ("lightgoldenrodyellow", "#fafad2"),
    ],
)  # fmt: skip
def test_a_colour_is_hexadecimal_or_has_a_name(text: str, colour: str):
    assert rendition(bg_color=text).background == colour


@pytest.mark.parametrize(
    "text", ["transparent", "12345", "#ggg", "rgb(1,2,3)", "##fff", "fff fff", "none", "grün"]
)
def test_other_colours_are_refused(text: str):
    assert refused(FULL | {"bg_color": text})["code"] == "invalid_bg_color"


def test_the_names_are_those_of_css():
    # Pillow turns the text of a colour that was asked for into numbers
    assert ImageColor.colormap.keys() == COLOURS.keys()
    for name, digits in COLOURS.items():
        assert ImageColor.getrgb(name) == ImageColor.getrgb(digits)


# what is refused

REFUSED = [
    ("size", "invalid_size", {"size": "huge"}),
    ("size", "invalid_size", {"size": "0.25"}),
    ("format", "invalid_format", {"format": "webp"}),
    ("format", "invalid_format", {"format": "zip"}),
    ("format", "invalid_format", {"format": "gif"}),
    ("type", "invalid_type", {"type": "person"}),
    ("type", "invalid_type", {"type": "car"}),
    ("type", "invalid_type", {"type": "animal"}),
    ("type_level", "invalid_type_level", {"type_level": "1"}),
    ("type_level", "invalid_type_level", {"type_level": "latest"}),
    ("semitransparency", "invalid_semitransparency", {"semitransparency": "false"}),
    ("add_shadow", "invalid_add_shadow", {"add_shadow": "true"}),
    ("shadow_type", "invalid_shadow_type", {"shadow_type": "drop"}),
    ("shadow_opacity", "unsupported_parameter", {"shadow_opacity": "50"}),
    ("shadow_method", "unsupported_parameter", {"shadow_method": "latest"}),
    ("bg_image_url", "unsupported_parameter", {"bg_image_url": "https://example.com/b.jpg"}),
    ("bg_image_file", "unsupported_parameter", {"bg_image_file": "b.jpg"}),
    ("quality", "unknown_parameter", {"quality": "90"}),
    ("Size", "unknown_parameter", {"Size": "auto"}),
    ("channels", "invalid_channels", {"channels": "rgb"}),
    ("channels", "invalid_channels", {"channels": "alpha", "format": "jpg"}),
    ("bg_color", "invalid_bg_color", {"channels": "alpha", "bg_color": "fff"}),
    ("bg_color", "invalid_bg_color", {"format": "jpg", "bg_color": "fff8"}),
    ("crop", "invalid_crop", {"crop": "yes"}),
    ("crop_margin", "invalid_crop_margin", {"crop_margin": "10px"}),
    ("crop_margin", "invalid_crop_margin", {"crop": "false", "crop_margin": "10px"}),
    ("crop_margin", "invalid_crop_margin", {"crop": "true", "crop_margin": "10"}),
    ("crop_margin", "invalid_crop_margin", {"crop": "true", "crop_margin": "-10px"}),
    ("crop_margin", "invalid_crop_margin", {"crop": "true", "crop_margin": "51%"}),
    ("crop_margin", "invalid_crop_margin", {"crop": "true", "crop_margin": "501px"}),
    ("crop_margin", "invalid_crop_margin", {"crop": "true", "crop_margin": "1px 2px 3px"}),
    ("scale", "invalid_scale", {"scale": "9%"}),
    ("scale", "invalid_scale", {"scale": "101%"}),
    ("scale", "invalid_scale", {"scale": "50"}),
    ("scale", "invalid_scale", {"scale": "fit"}),
    ("position", "invalid_position", {"position": "left"}),
    ("position", "invalid_position", {"position": "101%"}),
    ("position", "invalid_position", {"position": "10% 20% 30%"}),
    ("position", "invalid_position", {"position": "center center"}),
    ("position", "invalid_position", {"position": "original", "scale": "50%"}),
    ("roi", "invalid_roi", {"roi": "0% 0% 100%"}),
    ("roi", "invalid_roi", {"roi": "0 0 100 100"}),
    ("roi", "roi_exceeds_bounds", {"roi": "0% 0% 101% 100%"}),
    ("roi", "roi_region_empty", {"roi": "50% 0% 50% 100%"}),
]


@pytest.mark.parametrize(("name", "code", "form"), REFUSED, ids=str)
def test_what_is_not_supported_is_refused_by_name(name: str, code: str, form: dict[str, str]):
    error = refused(FULL | form)
    assert error["code"] == code
    assert error["title"] == f"Invalid {name} parameter given"
    assert name in error["detail"]


DOCUMENTED = sorted({*EVERYTHING_SAID, "shadow_method"})
VALUES = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["true", "50%", "10px", "0% 0% 50% 50%", "fff", "jpg", "alpha", "hd"]),
)


@given(st.dictionaries(st.one_of(st.sampled_from(DOCUMENTED), st.text(max_size=10)), VALUES))
def test_anything_is_carried_out_or_refused(form: dict[str, str]):
    form = {name: value for name, value in form.items() if not name.startswith("image_")}
    try:
        request = parse({"image_file": "a.jpg"} | form)
    except RefusedError as error:
        assert error.body["errors"][0]["code"] == error.code  # noqa: PT017 - not the point
    else:
        assert request.source == "image_file"


# bodies, answers


def test_a_json_body_is_the_form_it_stands_for():
    """What the npm package `remove.bg` 1.3.0 sends of a URL; JSON leaves undefined ones out."""
    body = {"size": "preview", "type": "auto", "crop": False, "image_url": "https://e.com/a.jpg"}
    request = parse(texts(body | {"bg_color": None}))
    assert (request.source, request.rendition) == ("image_url", Rendition(size=0.25))
    assert texts({"crop": True, "shadow_opacity": 50}) == {"crop": "true", "shadow_opacity": "50"}


def test_an_error_is_as_clients_read_it():
    assert error_body("file_too_large", "File too large", "22 MB at most.") == {
        "errors": [
            {"title": "File too large", "code": "file_too_large", "detail": "22 MB at most."}
        ]
    }


def outcome(**fields) -> Outcome:
    return Outcome(line=0, key="a.jpg", status=fields.pop("status", Status.DONE), **fields)


def test_the_headers_of_an_image():
    done = outcome(width=300, height=200)
    assert headers(done) == {"X-Credits-Charged": "0", "X-Width": "300", "X-Height": "200"}
    assert headers(done, (10, 20, 110, 170)) == headers(done) | {
        "X-Foreground-Top": "20", "X-Foreground-Left": "10",
        "X-Foreground-Width": "100", "X-Foreground-Height": "150",
    }  # fmt: skip
    assert headers(outcome(status=Status.SKIPPED)) == {"X-Credits-Charged": "0"}


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_failure_has_an_answer(code: ErrorCode):
    status, body = failure(outcome(status=Status.FAILED, code=code, message="It is so."))
    (error,) = body["errors"]
    assert (status, error["code"]) == (
        (400, FAILURES[code][0]) if code in FAILURES else (500, "unknown_error")
    )
    assert "It is so." in error["detail"]


def test_no_subject_is_an_unknown_foreground():
    failed = outcome(status=Status.FAILED, code=ErrorCode.NO_SUBJECT, message="None.")
    assert failure(failed)[1]["errors"][0]["code"] == "unknown_foreground"
