import asyncio
import hashlib
import json

import pytest
from pydantic import ValidationError
from starlette.requests import Request

from contract.errors import ErrorCode
from contract.recipe import Recipe
from contract.rendition import PLAIN, Rendition
from contract.validation import first_error
from producer.recipes.document import of_presets
from producer.web.cutouts.idempotent import request_digest
from producer.web.cutouts.request import FormFields, NewCutout, Upload, read_request
from producer.web.problems import RequestError

PHOTOGRAPH = Upload("a.jpg", b"photograph")


@pytest.mark.parametrize("charset", ["undefined", "unicode_escape"])
def test_a_form_in_a_charset_that_cannot_be_read(charset: str):
    """The last one can: as half a surrogate pair."""

    async def receive() -> dict:
        return {"type": "http.request", "body": body, "more_body": False}

    body = (
        b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nx\r\n'
        b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\n\xff..\\ud800\r\n--x--\r\n'
    )
    content_type = f"multipart/form-data; boundary=x; charset={charset}"
    headers = [(b"content-type", content_type.encode())]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    with pytest.raises(RequestError) as caught:
        asyncio.run(read_request(request))
    assert caught.value.code is ErrorCode.INVALID_REQUEST


def test_fields_with_their_defaults_do_not_count_in_the_digest():
    """So that a repeated request is known by a server of the other release."""
    body = b'{"model":null,"source":"upload","destination":null,"callback_url":null}'
    known = hashlib.sha256(body + b"\0photograph").hexdigest()
    assert request_digest(NewCutout(source="upload"), PHOTOGRAPH) == known
    assert request_digest(NewCutout(source="upload", rendition=Rendition()), PHOTOGRAPH) == known


def test_a_rendition_is_part_of_the_digest_however_it_came():
    fields = {"source": "upload", "rendition": '{"background": "#FFF"}'}
    form = FormFields.model_validate(fields, strict=True)
    body = NewCutout.model_validate_json(
        '{"source": "upload", "rendition": {"background": "ffffff"}}', strict=True
    )
    assert form.rendition == body.rendition != PLAIN
    assert request_digest(form, PHOTOGRAPH) == request_digest(body, PHOTOGRAPH)
    assert request_digest(form, PHOTOGRAPH) != request_digest(
        NewCutout(source="upload"), PHOTOGRAPH
    )


def test_a_recipe_is_read_from_json_and_from_a_form():
    fields = {
        "quality": {"passes": 1},
        "renditions": [{"name": "a"}, {"name": "b", "format": "jpg"}],
    }
    body = {"source": "upload", "recipe": fields}
    sent = NewCutout.model_validate_json(json.dumps(body), strict=True)
    form = FormFields.model_validate(body | {"recipe": json.dumps(fields)}, strict=True)
    assert form.document == sent.document
    assert [rendition.format for rendition in sent.document.renditions] == ["png", "jpg"]
    assert request_digest(form, PHOTOGRAPH) == request_digest(sent, PHOTOGRAPH)
    assert request_digest(form, PHOTOGRAPH) != request_digest(
        NewCutout(source="upload"), PHOTOGRAPH
    )


def test_a_preset_is_named_in_json_and_in_a_form():
    sent = NewCutout.model_validate_json('{"source": "s3://a/b", "recipe": "white"}', strict=True)
    form = FormFields.model_validate({"source": "upload", "recipe": "white"}, strict=True)
    assert form.document == sent.document == of_presets(["white"])


REFUSED = {
    "unknown preset": ({"recipe": "whyte"}, ("recipe",)),
    "unknown field": ({"recipe": {"rendition": {}}}, ("recipe", "rendition")),
    "field": (
        {"recipe": {"renditions": [{"name": "a"}, {"name": "b", "size": 0}]}},
        ("recipe", "renditions", "1", "size"),
    ),
    "key": ({"recipe": {"renditions": [{"key": "{stem}.{ext}"}]}}, ()),
    "key of a rendition": ({"rendition": {"key": "{stem}.{ext}"}}, ()),
    "twice": ({"recipe": "white", "rendition": {}}, ()),
    "quality twice": ({"recipe": "white", "quality": {}}, ()),
    "model twice": ({"recipe": {"model": "u2net"}, "model": "u2netp"}, ()),
}


@pytest.mark.parametrize(("fields", "place"), REFUSED.values(), ids=REFUSED)
def test_a_recipe_that_cannot_be_is_refused_by_its_field(fields: dict, place: tuple):
    with pytest.raises(ValidationError) as caught:
        NewCutout.model_validate_json(json.dumps({"source": "s3://a/b", **fields}), strict=True)
    assert first_error(caught.value).path == place
    sent = {name: v if isinstance(v, str) else json.dumps(v) for name, v in fields.items()}
    with pytest.raises(ValidationError):
        FormFields.model_validate({"source": "upload", **sent}, strict=True)


def test_a_model_goes_with_a_recipe_that_names_none():
    body = {"source": "s3://a/b", "recipe": {"renditions": [{}]}, "model": "u2netp"}
    new = NewCutout.model_validate_json(json.dumps(body), strict=True)
    assert new.document.recipe(new.model) == Recipe(model="u2netp")


def test_a_cutout_has_no_review():
    for policy in ({"no_subject": "review"}, {"preset_failed": "review"}):
        with pytest.raises(ValidationError, match="one destination"):
            NewCutout(source="upload", recipe={"policy": policy})
    NewCutout(source="upload", recipe={"policy": {"no_subject": "fail"}})
