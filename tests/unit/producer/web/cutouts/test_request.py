import hashlib

from contract.rendition import PLAIN, Rendition
from producer.web.cutouts.request import FormFields, NewCutout, Upload
from producer.web.cutouts.resource import digest_of

PHOTOGRAPH = Upload("a.jpg", b"photograph")


def test_a_plain_request_has_the_digest_it_had_before_there_were_renditions():
    """So that a repeated request is known by a server of the other release."""
    body = b'{"source":"upload","destination":null,"model":null,"callback_url":null}'
    known = hashlib.sha256(body + b"\0photograph").hexdigest()
    assert digest_of(NewCutout(source="upload"), PHOTOGRAPH) == known
    assert digest_of(NewCutout(source="upload", rendition=Rendition()), PHOTOGRAPH) == known


def test_a_rendition_is_part_of_the_digest_however_it_came():
    fields = {"source": "upload", "rendition": '{"background": "#FFF"}'}
    form = FormFields.model_validate(fields, strict=True)
    body = NewCutout.model_validate_json(
        '{"source": "upload", "rendition": {"background": "ffffff"}}', strict=True
    )
    assert form.rendition == body.rendition != PLAIN
    assert digest_of(form, PHOTOGRAPH) == digest_of(body, PHOTOGRAPH)
    assert digest_of(form, PHOTOGRAPH) != digest_of(NewCutout(source="upload"), PHOTOGRAPH)
