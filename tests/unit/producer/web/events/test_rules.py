import json
from pathlib import Path

import pytest

from contract.errors import ErrorCode, PermanentError
from contract.rendition import PLAIN, Rendition
from producer.web.events.object_event import ObjectEvent
from producer.web.events.rules import Rule, load_rules, rule_for

LOCATIONS = {"bucket": "photographs", "prefix": "in/", "destination": "s3://photographs/out"}


def written(folder: Path, **fields: object) -> Path:
    path = folder / "rules.json"
    path.write_text(json.dumps([{**LOCATIONS, **fields}]))
    return path


@pytest.mark.parametrize(
    ("rendition", "output"),
    [
        ({}, "s3://photographs/out/shoes/a.png"),
        ({"channels": "alpha"}, "s3://photographs/out/shoes/a.png"),
        ({"format": "jpg", "background": "#eee"}, "s3://photographs/out/shoes/a.jpg"),
    ],
)
def test_the_output_is_named_after_the_rendition(tmp_path: Path, rendition: dict, output: str):
    (rule,) = load_rules(written(tmp_path, rendition=rendition))
    assert rule.rendition == Rendition(**rendition)
    assert rule.output("in/shoes/a.tiff") == output


def test_no_output_is_in_a_folder_of_ours(tmp_path: Path):
    (rule,) = load_rules(written(tmp_path, rendition={"key": "{dir}/{stem}/white.{ext}"}))
    assert rule.output("in/a/_cutout.jpg") == "s3://photographs/out/a/_cutout/white.png"
    for name in ("_cutout.jpg", "_review.jpg"):
        with pytest.raises(PermanentError) as caught:
            rule.output(f"in/{name}")
        assert caught.value.code is ErrorCode.UNSAFE_KEY


def test_the_default_rendition_is_plain(tmp_path: Path):
    (rule,) = load_rules(written(tmp_path))
    assert rule.rendition == PLAIN
    assert rule.output("in/a.jpg") == "s3://photographs/out/a.png"


def test_an_invalid_rendition_is_refused_by_its_field(tmp_path: Path):
    with pytest.raises(PermanentError) as caught:
        load_rules(written(tmp_path, rendition={"format": "jpg", "channels": "alpha"}))
    assert caught.value.code is ErrorCode.INVALID_SETTING
    assert "rendition.channels: " in caught.value.message


def test_outputs_match_no_rule():
    rule = Rule(**LOCATIONS, rendition=Rendition(format="jpg"))
    inside = rule.model_copy(update={"prefix": ""})
    event = ObjectEvent("photographs", "out/a.jpg", 1, "", "", "ObjectCreated:Put")
    assert rule_for([inside], event) is None


def test_a_rule_whose_photographs_are_all_outputs_is_refused(tmp_path: Path):
    for destination in ("s3://photographs/in", "s3://photographs/"):
        with pytest.raises(PermanentError) as caught:
            load_rules(written(tmp_path, destination=destination))
        assert caught.value.code is ErrorCode.OVERLAPPING_LOCATIONS
    assert load_rules(written(tmp_path, destination="s3://photographs/in/out"))


def test_an_unknown_model_is_refused_at_the_start(tmp_path: Path):
    with pytest.raises(PermanentError) as caught:
        load_rules(written(tmp_path, model="u3net"))
    assert caught.value.code is ErrorCode.MODEL_UNKNOWN


def test_a_recipe_of_one_rendition_names_the_outputs(tmp_path: Path):
    rendition = {"name": "web", "format": "webp", "key": "web/{dir}/{stem}-{name}.{ext}"}
    (rule,) = load_rules(written(tmp_path, recipe={"renditions": [rendition]}))
    assert rule.output("in/shoes/a.tiff") == "s3://photographs/out/web/shoes/a-web.webp"
    assert not rule.document_without_keys.has_keys
    assert rule.document_without_keys.renditions[0].format == "webp"
    (rule,) = load_rules(written(tmp_path, recipe="white"))
    assert rule.output("in/shoes/a.tiff") == "s3://photographs/out/shoes/a.jpg"


def test_a_recipe_of_several_renditions_has_no_keys_of_its_own(tmp_path: Path):
    two = [{"name": "alpha"}, {"name": "web", "format": "webp"}]
    (rule,) = load_rules(written(tmp_path, recipe={"renditions": two}))
    assert rule.output("in/shoes/a.b.tiff") == "s3://photographs/out/shoes/a.b.png"
    two[1]["key"] = "web/{stem}.{ext}"
    review = {"policy": {"no_subject": "review"}}
    for recipe in ({"renditions": two}, "whyte", {"model": "u3net"}, review):
        with pytest.raises(PermanentError):
            load_rules(written(tmp_path, recipe=recipe))


def created(key: str) -> ObjectEvent:
    return ObjectEvent("photographs", key, 1, "", "", "ObjectCreated:Put")


def test_what_lies_in_a_folder_of_ours_is_no_photograph(tmp_path: Path):
    rules = load_rules(written(tmp_path))
    for key in ("in/_review/a.jpg", "in/_cutout/a.jpg"):
        assert rule_for(rules, created(key)) is None
    assert rule_for(rules, created("in/shoes/a.jpg")) is not None
