import pytest

from producer.web.body_limits import JSON_BYTES, body_limits, max_body_bytes

IMAGE = 10_000_000


@pytest.mark.parametrize(
    ("path", "content_type", "limit"),
    [
        ("/v1/cutouts", "multipart/form-data; boundary=x", IMAGE + JSON_BYTES),
        ("/v1/cutouts", " Multipart/Form-Data", IMAGE + JSON_BYTES),
        ("/v1/cutouts", "application/json", JSON_BYTES),
        ("/v1/cutouts", "", JSON_BYTES),
        ("/v1.0/removebg", "application/json", IMAGE + JSON_BYTES),
        ("/v1.0/removebg", "multipart/form-data", IMAGE + JSON_BYTES),
        ("/v1/batches", "multipart/form-data", JSON_BYTES),
        ("/v1/events/s3", "text/plain", JSON_BYTES),
        ("*", "", JSON_BYTES),
    ],
)
def test_only_uploads_may_be_large(path: str, content_type: str, limit: int):
    assert max_body_bytes(body_limits(IMAGE), path, content_type) == limit
