import pytest

from producer.web.removebg.accept import wants_json

AXIOS = "application/json, text/plain, */*"


@pytest.mark.parametrize(
    "accept",
    [
        "", "*/*", AXIOS, "image/*", "image/png", "image/png, application/json", "IMAGE/PNG",
        "application/json, image/webp", "application/json;q=1, */*;q=0.1", "text/html",
        "application/octet-stream, application/json", "text/html, */*;q=0.8", "nonsense", ",;,",
    ],
)  # fmt: skip
def test_the_image_if_anything_but_json_is_acceptable(accept: str):
    assert not wants_json(accept, "image/png")


@pytest.mark.parametrize(
    "accept",
    [
        "application/json", "Application/JSON; charset=utf-8", "application/json;q=0.5",
        "application/json, text/plain", "application/json, */*;q=0", "text/json",
        "application/json,*/*; q=0.000, image/*;Q=0", "application/*",
    ],
)  # fmt: skip
def test_json_where_nothing_else_is_acceptable(accept: str):
    assert wants_json(accept, "image/png")


def test_a_zip_is_a_type_of_its_own():
    assert not wants_json("application/zip, application/json", "application/zip")
    assert not wants_json("application/*", "application/zip")
    assert wants_json("application/json", "application/zip")
