import hashlib

from contract.rendition import PLAIN, Rendition
from producer.web.cutouts.idempotent import request_digest
from producer.web.cutouts.request import FormFields, NewCutout, Upload

PHOTOGRAPH = Upload("a.jpg", b"photograph")


def test_a_plain_request_has_the_digest_it_had_before_there_were_renditions():
    """So that a repeated request is known by a server of the other release."""
    body = b'{"source":"upload","destination":null,"model":null,"callback_url":null}'
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
