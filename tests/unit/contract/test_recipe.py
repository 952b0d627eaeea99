import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support.paths import ROOT

from contract.errors import ErrorCode, PermanentError
from contract.job import ImageJob, ManifestLine
from contract.lengths import pixels
from contract.policy import Policy
from contract.quality import Quality
from contract.recipe import MATTE, PIPELINE, Recipe, recipe_for
from contract.rendition import PLAIN, Rendition


def test_the_digest_of_the_plain_recipe_changes_only_with_the_pipeline():
    """Another digest would redo every output there is."""
    recipe = Recipe(model="u2netp")
    assert recipe.digest_of(PLAIN) == "3c2b4f3b20f83be7"
    assert (
        recipe.digest_of(Rendition(format="png", name="shop", key="{stem}.{ext}"))
        == "3c2b4f3b20f83be7"
    )


def test_the_chart_scales_on_the_images_of_this_pipeline():
    chart = yaml.safe_load((ROOT / "deploy/helm/cutout/Chart.yaml").read_text())
    assert chart["annotations"]["cutout/pipeline"] == str(PIPELINE)


def test_the_plain_rendition_is_left_out_of_messages():
    recipe = Recipe(model="u2netp")
    text = recipe.model_dump_json()
    assert "rendition" not in text
    assert Recipe.model_validate_json(text) == recipe


RENDITIONS = [
    {"format": "jpg"}, {"format": "jpg", "background": "eee"}, {"channels": "alpha"},
    {"background": "ffffff"}, {"background": "ffffff80"}, {"crop": True},
    {"crop": True, "crop_margin": ("10%", "0", "0", "0")},
    {"crop": True, "crop_margin": ("10px", "0", "0", "0")}, {"scale": 50}, {"position": (50, 50)},
    {"scale": 50, "position": (0, 50)}, {"size": 0.25}, {"roi": ("10%", "0", "100%", "100%")},
    {"format": "avif"}, {"format": "jpg", "quality": 80}, {"format": "jpg", "max_bytes": 1000},
    {"background": "blur"}, {"max_side": 800}, {"canvas": "1:1"}, {"canvas": "800x600"},
    {"verify": "alpha"},
]  # fmt: skip


@pytest.mark.parametrize("fields", RENDITIONS, ids=str)
def test_a_rendition_is_sent_in_messages_and_changes_the_digest(fields: dict):
    recipe = recipe_for("u2netp", (Rendition(**fields),))
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    others = [recipe_for("u2netp", (Rendition(**other),)).digest for other in RENDITIONS]
    assert others.count(recipe.digest) == 1
    assert recipe.digest != Recipe(model="u2netp").digest
    assert recipe.digest != recipe_for("u2net", recipe.renditions).digest


def test_defaults_do_not_count_in_the_digest_of_a_rendition():
    """So that a further field with a default changes none of them."""
    jpg = Rendition(format="jpg")
    assert recipe_for("u2netp", (jpg,)).digest_of(jpg) == "200feaf742b6ebb7"


def test_an_unknown_model_is_refused():
    with pytest.raises(PermanentError) as caught:
        recipe_for("u3net")
    assert caught.value.code is ErrorCode.MODEL_UNKNOWN


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        ("fff", "#ffffff"), ("#FFF", "#ffffff"), ("1a2", "#11aa22"), ("81d4fa", "#81d4fa"),
        ("#81D4FA", "#81d4fa"), ("81d4fa77", "#81d4fa77"), ("1a27", "#11aa2277"),
        ("ffff", "#ffffff"), ("81d4faff", "#81d4fa"), ("fff0", "#ffffff00"),
    ],
)  # fmt: skip
def test_a_colour_is_stored_in_one_form(text: str, colour: str):
    assert Rendition(background=text).background == colour


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("30px", "30px"), ("030px", "30px"), ("30.0px", "30px"), ("30.50px", "30.5px"),
        ("10%", "10%"), ("10.0%", "10%"), ("0", "0px"), ("0%", "0px"), ("0.0px", "0px"),
        ("100px", "100px"),
    ],
)  # fmt: skip
def test_a_length_is_stored_in_one_form(text: str, length: str):
    assert Rendition(crop=True, crop_margin=(text, "0", "0", "0")).crop_margin[0] == length


@given(st.decimals(0, 500, places=3), st.sampled_from(["px", "%"]), st.integers(1, 10**6))
def test_a_length_is_converted_to_pixels(amount, unit: str, whole: int):
    wanted = float(amount) * (whole / 100 if unit == "%" else 1)
    assert pixels(f"{amount}{unit}", whole) == pytest.approx(wanted)


REFUSED = [
    ("format", {"format": "jpeg"}),
    ("format", {"format": "PNG"}),
    ("channels", {"channels": "rgb"}),
    ("channels", {"channels": "alpha", "format": "jpg"}),
    ("background", {"background": "white"}),
    ("background", {"background": ""}),
    ("background", {"background": "#"}),
    ("background", {"background": "12345"}),
    ("background", {"background": "#1234567"}),
    ("background", {"background": "##fff"}),
    ("background", {"background": "ggg"}),
    ("background", {"background": "٣٣٣"}),
    ("background", {"background": "ffffff80", "format": "jpg"}),
    ("background", {"background": "ffffff", "channels": "alpha"}),
    ("crop_margin", {"crop_margin": ("10px", "0", "0", "0")}),
    ("crop_margin", {"crop": True, "crop_margin": ("501px", "0", "0", "0")}),
    ("crop_margin", {"crop": True, "crop_margin": ("0", "0", "0", "50.1%")}),
    ("crop_margin", {"crop": True, "crop_margin": ("-1px", "0", "0", "0")}),
    ("crop_margin", {"crop": True, "crop_margin": ("10", "0", "0", "0")}),
    ("crop_margin", {"crop": True, "crop_margin": ("1e2px", "0", "0", "0")}),
    ("crop_margin", {"crop": True, "crop_margin": ("10 px", "0", "0", "0")}),
    ("crop_margin", {"crop": True, "crop_margin": ("nanpx", "0", "0", "0")}),
    ("crop_margin", {"crop": True, "crop_margin": ("10px", "10px")}),
    ("scale", {"scale": 9.9}),
    ("scale", {"scale": 100.1}),
    ("scale", {"scale": float("nan")}),
    ("position", {"position": (-1, 50)}),
    ("position", {"position": (50, 101)}),
    ("position", {"position": (50,)}),
    ("size", {"size": 0}),
    ("size", {"size": -1}),
    ("size", {"size": float("inf")}),
    ("roi", {"roi": ("0%", "0%", "100%")}),
    ("roi", {"roi": ("0%", "0%", "101%", "100%")}),
    ("roi", {"roi": ("50%", "0%", "50%", "100%")}),
    ("roi", {"roi": ("0px", "9px", "100%", "9px")}),
    ("roi", {"roi": ("0", "0", "0%", "100%")}),
    ("roi", {"roi": ("10px", "0", "0%", "100%")}),
    ("quality", {"quality": 90}),
    ("quality", {"format": "zip", "quality": 90}),
    ("quality", {"format": "jpg", "quality": 101}),
    ("max_bytes", {"max_bytes": 10_000}),
    ("max_bytes", {"format": "webp", "max_bytes": 999}),
    ("background", {"background": "blur", "channels": "alpha"}),
    ("background", {"background": "blur", "format": "zip"}),
    ("max_side", {"max_side": 0}),
    ("canvas", {"canvas": "2000"}),
    ("canvas", {"canvas": "0x10"}),
    ("canvas", {"canvas": "10x"}),
    ("canvas", {"canvas": "10001x10001"}),
    ("canvas", {"canvas": "11:1"}),
    ("canvas", {"canvas": "1:1.5"}),
    ("canvas", {"canvas": "1:1", "crop": True, "scale": 85}),
    ("canvas", {"canvas": "800x800", "size": 1}),
    ("canvas", {"canvas": "800x800", "max_side": 700}),
]


@pytest.mark.parametrize(
    ("text", "canvas"),
    [("1:1", "1:1"), ("6:4", "3:2"), ("2000x1500", "2000x1500"), ("10000x10000", "10000x10000")],
)
def test_a_canvas_is_stored_in_one_form(text: str, canvas: str):
    assert Rendition(canvas=text).canvas == canvas


@pytest.mark.parametrize(("field", "fields"), REFUSED, ids=str)
def test_an_invalid_field_is_named(field: str, fields: dict):
    with pytest.raises(ValidationError) as caught:
        Rendition(**fields)
    assert {error["loc"][0] for error in caught.value.errors()} == {field}


@pytest.mark.parametrize("roi", [("0", "0", "100%", "100%"), ("0%", "0px", "100.0%", "100%")])
def test_a_region_of_the_whole_photograph_is_none(roi: tuple):
    assert Rendition(roi=roi) == PLAIN


@pytest.mark.parametrize(
    ("fields", "key", "content_type"),
    [
        ({}, "shoes/a.png", "image/png"),
        ({"channels": "alpha"}, "shoes/a.png", "image/png"),
        ({"format": "jpg"}, "shoes/a.jpg", "image/jpeg"),
        ({"format": "avif"}, "shoes/a.avif", "image/avif"),
    ],
)
def test_the_output_is_named_after_its_format(fields: dict, key: str, content_type: str):
    job = ImageJob(
        batch="b-20260101-000000-abcdef", line=0, source="file:///in", destination="file:///out",
        photograph=ManifestLine(key="shoes/a.tiff", size=1, etag=""),
        recipe=Recipe(model="u2netp", renditions=(Rendition(**fields),)),
    )  # fmt: skip
    assert job.output_key(*job.recipe.renditions) == key
    assert job.recipe.renditions[0].content_type == content_type


# several renditions

THUMB = {"name": "thumb", "format": "webp", "max_side": 800}


@pytest.mark.parametrize(
    ("renditions", "message"),
    [
        ([], "at least 1 item"),
        ([{"name": f"r{n}"} for n in range(9)], "at most 8 items"),
        ([THUMB, {}], "need a name"),
        ([THUMB, {"name": "thumb"}], "the same name"),
        ([THUMB, {"name": "own", "colour": "keep"}], "the same colour"),
        ([{"name": "a", "key": "{stem}.{ext}"}, {"name": "b", "key": "{stem}.{ext}"}], "same key"),
        ([{"name": "a", "key": "{dir}/{stem}.b.{ext}"}, {"name": "b"}], "same key"),
    ],
)
def test_renditions_that_cannot_be_made_together_are_refused(
    renditions: list, message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        Recipe(model="u2netp", renditions=renditions)


@pytest.mark.parametrize("name", ["A", "a b", "-a", "a-", "a.b", "a/b", "..", "ä", "x" * 33, "a\n"])
def test_a_name_is_short_and_plain(name: str) -> None:
    with pytest.raises(ValidationError):
        Rendition(name=name)


def test_other_renditions_do_not_count_in_a_digest() -> None:
    thumb = Rendition(**THUMB)
    both = Recipe(model="u2netp", renditions=(PLAIN.model_copy(update={"name": "a"}), thumb))
    assert both.digest_of(thumb) == Recipe(model="u2netp", renditions=(thumb,)).digest_of(thumb)
    assert both.digest_of(both.renditions[0]) == Recipe(model="u2netp").digest_of(PLAIN)
    assert both.digest != Recipe(model="u2netp", renditions=(thumb,)).digest
    assert Recipe.model_validate_json(both.model_dump_json()) == both


def test_an_output_is_not_current_for_a_recipe_with_another_policy():
    policies = (Policy(), Policy(no_subject="fail"), Policy(no_subject="review"))
    digests = {Recipe(model="u2netp", policy=policy).digest_of(PLAIN) for policy in policies}
    assert len(digests) == 3


def test_the_strictest_treatment_of_several_doubts_counts():
    ambiguous, cut = ErrorCode.AMBIGUOUS_SUBJECT, ErrorCode.SUBJECT_CUT_BY_FRAME
    policy = Policy(ambiguous_subject="review", subject_cut_by_frame="fail")
    assert policy.strictest((ambiguous, cut)) == ("fail", cut)
    assert policy.strictest((ambiguous,)) == ("review", ambiguous)
    assert policy.strictest(()) == Policy().strictest((ambiguous, cut)) == ("deliver", None)
    assert (policy.reviews, Policy(no_subject="fail").reviews) == (True, False)
    with pytest.raises(ValidationError):
        Policy(preset_failed="deliver")


def test_a_kept_matte_depends_on_model_and_quality_alone():
    recipe = Recipe(model="u2netp", keep_matte=True)
    same = {"renditions": (Rendition(format="jpg"),), "policy": Policy(no_subject="fail")}
    assert recipe.model_copy(update=same).digest_of(MATTE) == recipe.digest_of(MATTE)
    for other in ({"model": "u2net"}, {"pipeline": 1}, {"quality": Quality(passes=1)}):
        assert recipe.model_copy(update=other).digest_of(MATTE) != recipe.digest_of(MATTE)
    # and whether it is kept changes no other output
    plain = recipe.model_copy(update={"keep_matte": False})
    assert plain.digest_of(PLAIN) == recipe.digest_of(PLAIN)
    assert (plain.outputs, recipe.outputs) == ((PLAIN,), (PLAIN, MATTE))
    assert "keep_matte" not in plain.model_dump_json()


@pytest.mark.parametrize(
    "rendition",
    [Rendition(name="matte"), Rendition(name="x", key="{dir}/{stem}.matte.{ext}")],
    ids=["name", "key"],
)
def test_no_rendition_has_the_name_or_the_key_of_the_kept_matte(rendition: Rendition):
    Recipe(model="u2netp", renditions=(rendition,))
    with pytest.raises(ValidationError, match="the kept matte"):
        Recipe(model="u2netp", renditions=(rendition,), keep_matte=True)
