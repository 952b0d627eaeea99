import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageColor

from contract.rendition import PLAIN, Rendition
from producer.web.removebg.css_colours import COLOURS
from producer.web.removebg.errors import RemoveBgError
from producer.web.removebg.parameters import parse

FULL = {"image_url": "https://example.com/a.jpg", "size": "full"}


def rendition(**form: str) -> Rendition:
    return parse(FULL | form).rendition


def assert_refused(form: dict[str, str], code: str) -> dict[str, str]:
    with pytest.raises(RemoveBgError) as caught:
        parse(form)
    assert caught.value.status == 400
    assert list(caught.value.body) == ["errors"]
    (error,) = caught.value.body["errors"]
    assert set(error) == {"title", "code", "detail"}
    assert error["code"] == caught.value.code == code
    return error


# the source


@pytest.mark.parametrize("source", ["image_file", "image_file_b64", "image_url"])
def test_one_source_is_given(source: str):
    assert parse({source: "x"}).source == source
    others = {"image_file": "", "image_file_b64": " ", "image_url": ""}
    assert parse(others | {source: "x"}).source == source


def test_no_source_and_two_sources_are_refused():
    assert_refused({"size": "auto"}, "missing_source")
    assert_refused({}, "missing_source")
    assert_refused({"image_url": ""}, "missing_source")
    assert_refused({"image_url": "a", "image_file": "b"}, "multiple_sources")


# what is applied


@pytest.mark.parametrize(
    ("size", "megapixels"),
    [
        ("preview", 0.25), ("small", 0.25), ("regular", 0.25), ("medium", 1.5), ("hd", 4.0),
        ("full", None), ("4k", None), ("auto", None), ("50MP", None),
    ],
)  # fmt: skip
def test_sizes(size: str, megapixels: float | None):
    assert rendition(size=size).size == megapixels


def test_defaults_are_those_of_remove_bg():
    """A preview, and a PNG, as a cut-out is transparent somewhere."""
    assert parse({"image_url": "a"}).rendition == Rendition(size=0.25)
    assert rendition() == PLAIN


EXPLICIT_DEFAULTS = {
    "size": "full", "type": "auto", "type_level": "none", "format": "auto",
    "roi": "0% 0% 100% 100%",
    "crop": "false", "crop_margin": "0", "scale": "original", "position": "original",
    "channels": "rgba", "add_shadow": "false", "shadow_type": "none", "shadow_opacity": "",
    "semitransparency": "true", "bg_color": "", "bg_image_url": "", "bg_image_file": "",
}  # fmt: skip


def test_explicit_defaults_change_nothing():
    assert rendition(**EXPLICIT_DEFAULTS) == PLAIN


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
        ({"format": "webp"}, {"format": "webp"}),
        ({"format": "zip"}, {"format": "zip"}),
        ({"format": "ZIP", "crop": "1"}, {"format": "zip", "crop": True}),
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
        ({"add_shadow": "true"}, {"shadow": "contact"}),
        ({"shadow_type": "auto"}, {"shadow": "contact"}),
        ({"add_shadow": "true", "shadow_type": "none"}, {"shadow": "contact"}),
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
def test_parameters_are_applied(form: dict[str, str], wanted: dict):
    assert rendition(**form) == Rendition(**wanted)


@pytest.mark.parametrize("name", ["bg_image_url", "bg_image_file"])
def test_a_background_image_is_named_and_makes_the_output_opaque(name: str):
    request = parse(FULL | {name: "b.jpg"})
    assert (request.backdrop, request.rendition) == (name, Rendition(format="jpg"))
    for name_of_format in ("png", "jpg", "webp"):
        request = parse(FULL | {name: "b.jpg", "format": name_of_format})
        assert request.rendition == Rendition(format=name_of_format)
    assert parse(FULL).backdrop is None


@pytest.mark.parametrize(
    ("form", "foreground_type"),
    [
        ({}, "other"), ({"type": "auto"}, "other"), ({"type": "Person"}, "person"),
        ({"type": "product", "type_level": "2"}, "product"), ({"type": "car"}, "car"),
        ({"type": "animal", "type_level": "latest"}, "animal"),
        ({"type": "person", "type_level": "none"}, None),
    ],
    ids=str,
)  # fmt: skip
def test_a_type_is_a_hint_that_the_answer_repeats(form: dict[str, str], foreground_type: str):
    request = parse(FULL | form)
    assert (request.foreground_type, request.rendition) == (foreground_type, PLAIN)


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
    "text",
    ["transparent", "12345", "#ggg", "rgb(1,2,3)", "##fff", "fff fff", "none", "grün", "blur"],
)
def test_other_colours_are_refused(text: str):
    assert_refused(FULL | {"bg_color": text}, "invalid_bg_color")


def test_the_names_are_those_of_css():
    assert ImageColor.colormap.keys() == COLOURS.keys()
    for name, digits in COLOURS.items():
        assert ImageColor.getrgb(name) == ImageColor.getrgb(digits)


# what is refused

REFUSED = [
    ("size", "invalid_size", {"size": "huge"}),
    ("size", "invalid_size", {"size": "0.25"}),
    ("format", "invalid_format", {"format": "gif"}),
    ("type", "invalid_type", {"type": "house"}),
    ("type_level", "invalid_type_level", {"type_level": "3"}),
    ("semitransparency", "invalid_semitransparency", {"semitransparency": "false"}),
    ("add_shadow", "invalid_add_shadow", {"add_shadow": "yes"}),
    ("add_shadow", "invalid_add_shadow", {"add_shadow": "true", "format": "zip"}),
    ("add_shadow", "invalid_add_shadow", {"add_shadow": "true", "channels": "alpha"}),
    ("shadow_type", "invalid_shadow_type", {"shadow_type": "auto", "channels": "alpha"}),
    ("shadow_type", "invalid_shadow_type", {"shadow_type": "3D"}),
    ("shadow_type", "invalid_shadow_type", {"shadow_type": "drop"}),
    ("shadow_opacity", "unsupported_parameter", {"shadow_opacity": "50"}),
    ("shadow_method", "unsupported_parameter", {"shadow_method": "latest"}),
    ("bg_image_url", "invalid_bg_image_url", {"bg_image_url": "b", "channels": "alpha"}),
    ("bg_image_url", "invalid_bg_image_url", {"bg_image_url": "b", "bg_color": "fff"}),
    ("bg_image_url", "invalid_bg_image_url", {"bg_image_url": "b", "bg_image_file": "b.jpg"}),
    ("bg_image_file", "invalid_bg_image_file", {"bg_image_file": "b.jpg", "format": "zip"}),
    ("bg_color", "invalid_bg_color", {"bg_color": "fff", "format": "zip"}),
    ("channels", "invalid_channels", {"channels": "alpha", "format": "webp"}),
    ("channels", "invalid_channels", {"channels": "alpha", "format": "zip"}),
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
def test_unsupported_parameters_are_refused_by_name(name: str, code: str, form: dict[str, str]):
    error = assert_refused(FULL | form, code)
    assert error["title"] == f"Invalid {name} parameter given"
    assert name in error["detail"]


DOCUMENTED = sorted({*EXPLICIT_DEFAULTS, "shadow_method"})
VALUES = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["true", "50%", "10px", "0% 0% 50% 50%", "fff", "jpg", "alpha", "hd"]),
)


@pytest.mark.slow
@given(st.dictionaries(st.one_of(st.sampled_from(DOCUMENTED), st.text(max_size=10)), VALUES))
def test_any_form_is_applied_or_refused(form: dict[str, str]):
    form = {name: value for name, value in form.items() if not name.startswith("image_")}
    try:
        request = parse({"image_file": "a.jpg"} | form)
    except RemoveBgError as error:
        assert error.body["errors"][0]["code"] == error.code  # noqa: PT017 - not the point
    else:
        assert request.source == "image_file"
