"""remove.bg's interface as HTTP clients use it: formats, backgrounds, headers, Accept."""

import base64
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx
import numpy as np
from PIL import Image
from support.receivers import answer, receiving
from support.serving import Server, is_cutout, jpeg, new_key, serving, within_one_minute

URL = "/v1.0/removebg"
AXIOS = "application/json, text/plain, */*"


def post(shared: Server, files: dict | None = None, accept: str = "*/*", **data: str):
    return shared.client.post(
        URL, files=files or {"image_file": ("a.jpg", jpeg())}, data={"size": "full"} | data,
        headers={"Accept": accept},
    )  # fmt: skip


def error_of(response: httpx.Response) -> tuple[int, str]:
    (error,) = response.json()["errors"]
    return response.status_code, error["code"]


def test_the_default_accept_header_of_axios_gets_the_image(shared: Server):
    response = post(shared, accept=AXIOS)
    assert response.headers["content-type"] == "image/png"
    assert is_cutout(response.content)
    response = post(shared, accept="application/json")
    assert is_cutout(base64.b64decode(response.json()["data"]["result_b64"]))


def test_a_part_without_a_file_name_is_a_file(shared: Server):
    part = b'--x\r\nContent-Disposition: form-data; name="image_file"\r\n\r\n'
    response = shared.client.post(
        URL, content=part + jpeg() + b"\r\n--x--\r\n",
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )  # fmt: skip
    assert response.status_code == 200, response.text
    assert is_cutout(response.content)


def test_base64_with_line_breaks_and_without_padding(shared: Server):
    for text in (
        base64.encodebytes(jpeg()).decode(),
        base64.urlsafe_b64encode(jpeg()).decode().rstrip("="),
    ):
        response = shared.client.post(URL, json={"image_file_b64": text})
        assert response.status_code == 200, response.text
        assert is_cutout(response.content)


def test_an_image_url_that_is_not_there_is_a_failed_download(shared: Server):
    for status in (404, 403, 410):
        with receiving(answer(status)) as gone:
            response = shared.client.post(URL, data={"image_url": gone.url("/a.jpg")})
        assert error_of(response) == (400, "failed_image_download")
        assert str(status) in response.text
    with receiving(answer(200, jpeg())) as there:
        assert is_cutout(shared.client.post(URL, data={"image_url": there.url()}).content)


def test_a_broken_form_is_an_error_in_remove_bgs_format(shared: Server):
    response = shared.client.post(
        URL, content=b"none", headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert error_of(response) == (400, "invalid_form")


def test_a_zip_holds_colours_and_matte(shared: Server):
    response = post(shared, format="zip", accept=AXIOS)
    assert response.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        colours = Image.open(io.BytesIO(archive.read("color.jpg")))
        matte = Image.open(io.BytesIO(archive.read("alpha.png")))
    plain = np.asarray(Image.open(io.BytesIO(post(shared).content)))
    assert (np.asarray(matte) == plain[..., 3]).all()
    solid = plain[..., 3] > 127
    assert np.abs(np.asarray(colours, int) - plain[..., :3])[solid].mean() < 4


def test_a_webp(shared: Server):
    response = post(shared, format="webp")
    assert response.headers["content-type"] == "image/webp"
    picture = Image.open(io.BytesIO(response.content))
    assert (picture.format, picture.mode, picture.size) == ("WEBP", "RGBA", (160, 120))


def red(size: tuple[int, int] = (40, 90)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, "red").save(file, "PNG")
    return file.getvalue()


def is_on_red(data: bytes) -> bool:
    """Return whether red shows through the soft matte of the stand-in network."""
    with Image.open(io.BytesIO(data)) as picture:
        rgb = np.asarray(picture.convert("RGB"), int)
        assert (picture.format, picture.size) == ("JPEG", (160, 120))
    return bool((rgb[..., 0] - rgb[..., 1:].max(axis=2)).mean() > 20)


def test_a_background_image_is_a_file_or_a_url(shared: Server):
    files = {"image_file": ("a.jpg", jpeg()), "bg_image_file": ("b.png", red())}
    assert is_on_red(post(shared, files).content)
    with receiving(answer(200, red())) as there:
        assert is_on_red(post(shared, bg_image_url=there.url()).content)
    with receiving(answer(200, jpeg()), answer(200, red())) as there:
        both = {"image_url": there.url(), "bg_image_url": there.url()}
        assert is_on_red(shared.client.post(URL, data={"size": "full"} | both).content)
    assert not is_on_red(post(shared, format="jpg").content)


def test_a_background_image_that_cannot_be_had_is_named(shared: Server):
    with receiving(answer(404)) as gone:
        response = post(shared, bg_image_url=gone.url())
    assert error_of(response) == (400, "failed_image_download")
    assert "background image" in response.text
    files = {"image_file": ("a.jpg", jpeg()), "bg_image_file": ("b.png", b"no picture")}
    response = post(shared, files)
    assert error_of(response) == (400, "invalid_file_type")
    assert "background image" in response.text
    assert error_of(post(shared, bg_image_url="ftp://example.com/a"))[0] == 400
    s3 = {"image_url": "s3://bucket/a.jpg", "bg_image_url": "https://example.com/b.jpg"}
    assert error_of(shared.client.post(URL, data=s3)) == (400, "invalid_bg_image_url")


def test_an_uploaded_background_is_deleted_with_its_cutout(shared: Server):
    before = set(shared.stored())
    files = {"image_file": ("a.jpg", jpeg()), "bg_image_file": ("b.png", red())}
    assert post(shared, files).status_code == 200
    (upload,) = (key for key in set(shared.stored()) - before if key.endswith("-backdrop"))
    cutout_id = upload.removeprefix("uploads/").removesuffix("-backdrop")
    assert shared.client.delete(f"/v1/cutouts/{cutout_id}").status_code == 204
    assert set(shared.stored()) == before


def test_a_shadow_that_is_not_drawn_is_refused_by_name(shared: Server):
    response = post(shared, shadow_type="3D")
    assert error_of(response) == (400, "invalid_shadow_type")
    assert "shadow_type" in response.json()["errors"][0]["title"]


def test_an_answer_repeats_the_hint_and_charges_nothing(shared: Server):
    for data, kind in (
        ({}, "other"), ({"type": "person"}, "person"), ({"type_level": "none"}, None),
    ):  # fmt: skip
        headers = post(shared, **data).headers
        assert (headers.get("x-type"), headers["x-credits-charged"]) == (kind, "0")


def test_every_answer_says_what_is_left_of_the_rate_limit(shared: Server, tmp_path: Path):
    keys = tmp_path / "keys"
    text = new_key(shared.cluster, keys, "client")
    env = {"CUTOUT_API_KEYS": str(keys), "CUTOUT_RATE_LIMIT_PER_MINUTE": "5"}
    with serving(shared.cluster, tmp_path, name="limited", **env) as limited:
        within_one_minute()
        headers = {"X-Api-Key": text}
        responses = [
            limited.client.get("/v1.0/account", headers=headers),
            limited.client.post(URL, headers=headers),
            limited.client.post(URL, headers=headers, files={"image_file": ("a.jpg", b"x")}),
            *(limited.client.get("/v1/models", headers=headers) for _ in range(8)),
        ]
        assert [one.status_code for one in responses][:3] == [200, 400, 400]
        counts = []
        for one in responses:
            assert one.headers["x-ratelimit-limit"] == "5"
            assert int(one.headers["x-ratelimit-reset"]) % 60 == 0
            counts.append(int(one.headers["x-ratelimit-remaining"]))
        assert counts[0] == 4
        last = responses[-1]
        assert (last.status_code, counts[-1]) == (429, 0)
        assert 0 < int(last.headers["retry-after"]) <= 60
        refused = limited.client.post(URL, headers=headers)
        assert error_of(refused) == (429, "rate_limit_exceeded")
        assert refused.headers["x-ratelimit-remaining"] == "0"


def checked(shared: Server, url: str, folder: Path, key: str = "") -> tuple[int, list[str]]:
    """Return the exit status of `cutout removebg-check`, and its lines."""
    (folder / "a.jpg").write_bytes(jpeg())
    command = [sys.executable, "-m", "producer", "removebg-check", url, str(folder / "a.jpg")]
    env = shared.cluster.environment(REMOVE_BG_API_KEY=key)
    run = subprocess.run(command, env=env, check=False, capture_output=True, text=True, timeout=200)
    assert not run.stderr
    return run.returncode, run.stdout.splitlines()


def test_every_check_of_the_interface_passes(shared: Server, tmp_path: Path):
    status, lines = checked(shared, shared.url, tmp_path)
    assert (status, lines[-1]) == (0, "21 of 21"), lines
    keys = tmp_path / "keys"
    text = new_key(shared.cluster, keys, "client")
    with serving(shared.cluster, tmp_path, name="keyed", CUTOUT_API_KEYS=str(keys)) as keyed:
        status, lines = checked(shared, f"{keyed.url}/", tmp_path, text)
        assert (status, lines[-1]) == (0, "22 of 22"), lines
        assert text not in "".join(lines)
        status, lines = checked(shared, keyed.url, tmp_path)
        assert (status, lines[-1]) == (3, "0 of 21"), lines


def test_the_checks_name_what_another_server_does_not_do(shared: Server, tmp_path: Path):
    for script in (answer(200, b"hello"), answer(200, b"{}"), answer(404)):
        with receiving(script) as other:
            status, lines = checked(shared, other.url(), tmp_path)
        assert (status, lines[-1]) == (3, "0 of 21")
        assert all(line.startswith("FAILED  ") for line in lines[:-1])
    status, lines = checked(shared, other.url(), tmp_path)
    assert (status, lines[-1]) == (3, "0 of 21")
    assert all("no answer" in line for line in lines[:-1])
