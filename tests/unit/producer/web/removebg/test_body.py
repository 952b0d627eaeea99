import asyncio
import base64
from urllib.parse import urlencode

import pytest
from starlette.requests import Request

from contract.rendition import Rendition
from producer.web.removebg.body import Body, decode_image, form_of_json, read_body
from producer.web.removebg.errors import RemoveBgError
from producer.web.removebg.parameters import parse

BINARY = bytes(range(256)) * 40
"""Every byte: nothing that decodes text would leave it alone."""
TEXT = b"P3 2 2 255 \xc3\xa9"
"""Valid UTF-8, as a tiny file may be."""


def sent(content_type: str, body: bytes) -> Body:
    async def receive() -> dict:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-type", content_type.encode())]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    return asyncio.run(read_body(request, 1 << 20))


def form(*parts: tuple[str, bytes]) -> Body:
    """Send parts, each a Content-Disposition without `form-data` and the content."""
    body = b"".join(
        b"--x\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + data + b"\r\n"
        for head, data in parts
    )
    return sent("multipart/form-data; boundary=x", body + b"--x--\r\n")


def refused(content_type: str, body: bytes) -> str:
    with pytest.raises(RemoveBgError) as caught:
        sent(content_type, body)
    return caught.value.code


def test_a_form_in_a_charset_that_cannot_be_read():
    body = b'--x\r\nContent-Disposition: form-data; name="size"\r\n\r\n\xff..\r\n--x--\r\n'
    assert refused("multipart/form-data; boundary=x; charset=undefined", body) == "invalid_form"


def test_json_means_the_same_as_a_form():
    """What the npm package `remove.bg` 1.3.0 sends of a URL; JSON leaves undefined ones out."""
    body = {"size": "preview", "type": "auto", "crop": False, "image_url": "https://e.com/a.jpg"}
    request = parse(form_of_json(body | {"bg_color": None}))
    assert (request.source, request.rendition) == ("image_url", Rendition(size=0.25))
    assert form_of_json({"crop": True, "shadow_opacity": 50}) == {
        "crop": "true",
        "shadow_opacity": "50",
    }


@pytest.mark.parametrize("data", [BINARY, TEXT], ids=["binary", "text"])
@pytest.mark.parametrize("name", ["image_file", "bg_image_file"])
def test_a_part_without_a_file_name_is_a_file(name: str, data: bytes):
    body = form((f'name="{name}"', data), ('name="size"', b"full"))
    assert body.files[name].data == data
    assert body.fields["size"] == "full"
    assert body.fields[name]
    named = form((f'name="{name}"; filename="a shoe.jpg"', data))
    assert (named.files[name].data, named.files[name].name) == (data, "a shoe.jpg")


def test_a_file_that_was_not_chosen_is_no_file():
    for head in ('name="image_file"', 'name="image_file"; filename=""'):
        body = form((head, b""), ('name="image_url"', b"https://example.com/a.jpg"))
        assert not body.files
        assert parse(body.fields).source == "image_url"


def test_an_empty_file_with_a_name_is_a_file():
    assert form(('name="image_file"; filename="a.jpg"', b"")).files["image_file"].data == b""


def test_text_is_no_file():
    for content_type, body in (
        ("application/json", b'{"image_file": "/9j/4A"}'),
        ("application/x-www-form-urlencoded", b"image_file=a.jpg"),
    ):
        assert refused(content_type, body) == "invalid_image_file"


def test_broken_bodies_are_refused_in_remove_bgs_format():
    assert refused("application/json", b"{") == "invalid_json"
    assert refused("multipart/form-data", b"--x") == "invalid_form"
    assert refused("multipart/form-data; boundary=x", b"no form") == "invalid_form"
    too_many = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' for _ in "x" * 60
    )
    assert refused("multipart/form-data; boundary=x", too_many) == "invalid_form"


STANDARD = base64.b64encode(BINARY).decode()


@pytest.mark.parametrize(
    "text",
    [
        STANDARD, STANDARD.rstrip("="), base64.encodebytes(BINARY).decode(),
        base64.urlsafe_b64encode(BINARY).decode(),
        base64.urlsafe_b64encode(BINARY).decode().rstrip("="),
        f"data:image/jpeg;base64,{STANDARD}", f"  {STANDARD}\r\n",
        "\r\n    ".join(STANDARD[at : at + 76] for at in range(0, len(STANDARD), 76)),
    ],
    ids=["standard", "unpadded", "lines", "url-safe", "url-safe unpadded", "data", "space", "mime"],
)  # fmt: skip
def test_base64_in_every_common_form(text: str):
    upload = decode_image({"image_file_b64": text})
    assert upload
    assert upload.data == BINARY
    posted = sent("application/x-www-form-urlencoded", urlencode({"image_file_b64": text}).encode())
    assert decode_image(posted.fields) == upload


@pytest.mark.parametrize("text", ["!", "AAAAA", "AA AA", "Ä", "AAA=A", STANDARD[:50] + "*"])
def test_other_text_is_no_base64(text: str):
    """Also a `+` that a form made a space: guessing would damage the photograph."""
    with pytest.raises(RemoveBgError) as caught:
        decode_image({"image_file_b64": text})
    assert caught.value.code == "invalid_image_file_b64"


def test_no_base64_is_no_photograph():
    assert decode_image({}) is None
    assert decode_image({"image_file_b64": " "}) is None
