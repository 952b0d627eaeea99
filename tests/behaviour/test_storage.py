"""One behaviour suite for every store, then what is particular to a folder and to S3."""

import errno
import gzip
import io
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
import unicodedata
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from support.faults import Fault, HttpProxy, status
from support.services import CREDENTIALS, S3Server, free_port, until

from contract.errors import CutoutError, ErrorCode, PermanentError, RetryableError
from contract.storage import Store, canonical_location, directory, open_store, split_object
from contract.storage.files import FileStore
from contract.storage.protocol import CHUNK_BYTES
from contract.storage.request_count import requests_sent
from contract.storage.s3 import S3Store

PREFIX = "catalogue ü+%2F#?&'/shoes"
"""Root of every store under test; full of characters that need quoting."""


def use(monkeypatch: pytest.MonkeyPatch, url: str, **changed: str) -> None:
    """Point the AWS variables at a server, and away from this machine's own profile."""
    names = {**CREDENTIALS, "AWS_ENDPOINT_URL": url, **changed}
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        names.setdefault(name, os.devnull)
    for name, value in names.items():
        monkeypatch.setenv(name, value)


@cache
def bucket_on(url: str) -> str:
    name = f"b{time.time_ns()}"
    boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    ).create_bucket(Bucket=name)
    return name


@pytest.fixture
def new_location(monkeypatch: pytest.MonkeyPatch) -> Callable[[S3Server], str]:
    """Return a function that returns the location of an empty store on an S3 server."""

    def new(server: S3Server) -> str:
        use(monkeypatch, server.url)
        return f"s3://{bucket_on(server.url)}/{uuid.uuid4().hex}/{PREFIX}"

    return new


@pytest.fixture(params=["folder", "moto", "rclone"])
def store(request: pytest.FixtureRequest, tmp_path: Path, new_location) -> Store:
    if request.param == "folder":
        (tmp_path / PREFIX).mkdir(parents=True)
        return open_store(str(tmp_path / PREFIX))
    return open_store(new_location(request.getfixturevalue(f"{request.param}_server")))


@pytest.fixture
def folder(tmp_path: Path) -> FileStore:
    (tmp_path / "root").mkdir()
    return FileStore(tmp_path / "root")


def put(store: Store, *keys: str) -> None:
    for key in keys:
        store.put(key, key.encode(), "image/png")


def keys(store: Store, prefix: str = "") -> list[str]:
    return [item.key for item in store.list(prefix)]


def code_of(call: Callable[[], object]) -> ErrorCode:
    with pytest.raises(CutoutError) as caught:
        call()
    return caught.value.code


def each_call(store: Store, key: str) -> list[Callable[[], object]]:
    return [
        lambda: store.get(key),
        lambda: store.head(key),
        lambda: store.put(key, b"new", "image/png"),
        lambda: store.put(key, io.BytesIO(b"new"), "image/png"),
    ]


# every store


@pytest.mark.parametrize("content", [b"", b"\0\xff\r\n" * 999], ids=["empty", "binary"])
def test_an_object_comes_back_with_content_size_etag_and_metadata(store: Store, content: bytes):
    metadata = {"source-etag": 'W/"a=b c"', "recipe": "0123456789abcdef"}
    store.put("a/b.png", content, "image/png", metadata)
    head = store.head("a/b.png")
    assert head is not None
    assert (head.size, dict(head.metadata)) == (len(content), metadata)
    blob = store.get("a/b.png")
    assert (blob.data, blob.etag) == (content, head.etag)
    (listed,) = store.list()
    assert listed[:3] == ("a/b.png", len(content), head.etag)
    assert listed.modified == pytest.approx(time.time(), abs=60)
    assert int(head.modified) == int(listed.modified)


def test_a_missing_object_has_no_head_and_cannot_be_read(store: Store):
    put(store, "folder/a.png")
    for key in ["none.png", "none/below.png", "folder", "folder/a"]:
        assert store.head(key) is None
        assert code_of(lambda key=key: store.get(key)) is ErrorCode.OBJECT_MISSING
        assert code_of(lambda key=key: store.stream(key)) is ErrorCode.OBJECT_MISSING


def test_an_etag_changes_with_the_content(store: Store):
    etags = []
    for content in [b"one", b"two", b"six", b"longer"]:
        store.put("a.png", content, "image/png")
        etags.append(store.get("a.png").etag)
    assert len(set(etags)) == 4
    assert all(etags)


def test_overwriting_replaces_content_and_metadata(store: Store):
    for content, metadata in [(b"1", {"a": "1", "b": "1"}), (b"2", {"a": "2"}), (b"3", {})]:
        store.put("a.png", content, "image/png", metadata)
        head = store.head("a.png")
        assert head is not None
        assert (store.get("a.png").data, dict(head.metadata)) == (content, metadata)


# "a." < "a/" < "a0", and U+1F45F sorts behind U+FF5E in UTF-8 but not in UTF-16
TREE = [
    "B.png", "a b/x.png", "a-b.png", "a.b", "a.b.png", "a/0.png", "a/b.c", "a/b/c.png", "a/b0.png",
    "a0/x.png", "a0x.png", "z.png", "ä.png", "日本/靴.png", "\uff5e.png", "👟.png",
]  # fmt: skip


def test_a_listing_is_relative_and_in_order_of_utf8_bytes(store: Store):
    put(store, *random.Random(1).sample(TREE, len(TREE)))
    assert sorted(TREE, key=str.encode) == TREE
    assert keys(store) == TREE
    for prefix in ["a", "a/", "a/b", "a/b/", "a/b/c.png", "a b", "日本/", "x", "a/b/c/d"]:
        assert keys(store, prefix) == [key for key in TREE if key.startswith(prefix)], prefix


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_listing_goes_on_behind_any_key(store: Store, size: int):
    put(store, *TREE)
    for after in ["", *TREE[::3], "a/", "a/b", "a/b/zzz", "\u0100", TREE[-1]]:
        pages = list(store.pages(after=after, size=size))
        listed = [item.key for page in pages for item in page.items]
        assert listed == [key for key in TREE if key > after], after
        assert [page.last for page in pages] == [page.items[-1].key for page in pages]
    (page,) = store.pages("a/b", after="a/b.c")
    assert [item.key for item in page.items] == ["a/b/c.png", "a/b0.png"]


def test_a_store_does_not_see_a_sibling_whose_name_begins_like_its_own(store: Store):
    sibling = open_store(f"{store.uri}2")
    put(store, "a.png")
    put(sibling, "b.png")
    assert (keys(store), keys(sibling)) == (["a.png"], ["b.png"])
    assert store.head("b.png") is None


def test_a_uri_opens_the_same_store(store: Store):
    put(store, "a.png")
    assert canonical_location(store.uri) == store.uri
    open_store.cache_clear()
    for uri in [store.uri, f"{store.uri}/"]:
        assert open_store(uri).uri == store.uri
        assert keys(open_store(uri)) == ["a.png"]


@pytest.mark.slow
def test_awkward_keys_are_kept_unchanged(store: Store):
    awkward = [
        "a b .jpg", " ", "größe.jpg", "靴/👟.jpg", "a+b.jpg", "100%.jpg", "a%2Fb.jpg", "%00", "%",
        "a#b.jpg", "a?b=c&d.jpg", "q'\"`.jpg", "back\\slash.jpg", "a:b*c|<d>.jpg", "[{(^~$!@=,;)}]",
        "..a", "a..", "...", "-rf", "~", "x" * 251 + ".jpg", "d/" * 200 + "x.jpg",
        # the same letter in two Unicode forms: two different keys
        unicodedata.normalize("NFC", "Å.jpg"), unicodedata.normalize("NFD", "Å.jpg"),
    ]  # fmt: skip
    for key in awkward:
        store.put(key, key.encode(), "image/jpeg", {"mark": "1"})
    assert keys(store) == sorted(awkward, key=str.encode)
    for key in awkward:
        head = store.head(key)
        assert head is not None, key
        assert (store.get(key).data, dict(head.metadata)) == (key.encode(), {"mark": "1"}), key


@pytest.mark.slow
def test_an_overlong_key_is_kept_or_refused_with_a_code(store: Store):
    refused = {ErrorCode.UNSAFE_KEY}
    if isinstance(store, S3Store):
        # rclone answers InternalError if its own file system refuses a name, which is retried
        refused |= {ErrorCode.STORAGE_UNAVAILABLE}
    for key in ["x" * 300, "ü" * 200, "d/" * 3000 + "x"]:
        try:
            put(store, key)
            assert store.get(key).data == key.encode()
        except CutoutError:
            assert code_of(lambda key=key: put(store, key)) in refused


@pytest.mark.parametrize(
    "key",
    ["", ".", "..", "../x", "a/../x", "a/..", "./a", "a/.", "/a", "//a", "a//b", "a/", "a\0b"],
)
def test_a_key_that_is_not_a_plain_path_is_refused(folder: FileStore, key: str):
    for call in each_call(folder, key):
        assert code_of(call) is ErrorCode.UNSAFE_KEY
    assert keys(folder) == []


def test_a_key_with_dots_is_refused_before_a_server_can_resolve_it(store: Store):
    put(store, "a/b.png")
    for call in each_call(store, "a/../a/b.png"):
        assert code_of(call) is ErrorCode.UNSAFE_KEY
    assert keys(store) == ["a/b.png"]


def test_an_object_over_the_limit_is_refused_and_one_at_the_limit_is_not(store: Store):
    store.put("a.png", b"x" * 1000, "image/png")
    assert len(store.get("a.png", max_bytes=1000).data) == 1000
    with pytest.raises(PermanentError, match="1,000 bytes are over the limit of 999") as caught:
        store.get("a.png", max_bytes=999)
    assert caught.value.code is ErrorCode.TOO_MANY_BYTES
    assert len(store.get("a.png").data) == 1000  # the connection survives a refusal


@pytest.mark.slow
def test_a_file_of_many_megabytes_is_put_from_a_stream(store: Store, tmp_path: Path):
    content = random.Random(2).randbytes(20_000_000)  # three parts of a multipart upload
    (tmp_path / "report.csv").write_bytes(content)
    with (tmp_path / "report.csv").open("rb") as file:
        store.put("report.csv", file, "text/csv", {"rows": "7"})
    head, blob = store.head("report.csv"), store.get("report.csv")
    assert head is not None
    assert blob.data == content
    assert [item[:3] for item in store.list()] == [("report.csv", len(content), blob.etag)]
    assert (head.size, head.etag, dict(head.metadata)) == (len(content), blob.etag, {"rows": "7"})
    chunks = list(store.stream("report.csv"))
    assert b"".join(chunks) == content
    assert max(map(len, chunks)) <= CHUNK_BYTES


def write_over(store: Store, etag: str, data: bytes = b"new") -> None:
    store.put_unless_changed("a.png", data, "image/png", {"mark": "new"}, etag)


def etag_of(store: Store) -> str:
    head = store.head("a.png")
    return head.etag if head else ""


def test_an_object_is_written_over_the_one_that_was_seen(store: Store):
    for data in (b"first", b"second"):
        write_over(store, etag_of(store), data)
        head = store.head("a.png")
        assert head is not None
        assert (store.get("a.png").data, dict(head.metadata)) == (data, {"mark": "new"})


@pytest.mark.parametrize("store", ["folder", "moto"], indirect=True)
@pytest.mark.parametrize("before", [True, False])
def test_an_object_that_another_writer_changed_is_not_overwritten(store: Store, before: bool):
    if before:
        put(store, "a.png")
    seen = etag_of(store)
    store.put("a.png", b"newer", "image/png", {"mark": "newer"})
    assert code_of(lambda: write_over(store, seen)) is ErrorCode.OBJECT_CHANGED
    head = store.head("a.png")
    assert head is not None
    assert (store.get("a.png").data, dict(head.metadata)) == (b"newer", {"mark": "newer"})
    write_over(store, head.etag)


@pytest.mark.parametrize("store", ["folder", "moto"], indirect=True)
def test_an_object_that_was_deleted_has_changed_too(store: Store):
    put(store, "a.png")
    seen = etag_of(store)
    store.delete("a.png")
    assert code_of(lambda: write_over(store, seen)) is ErrorCode.OBJECT_CHANGED
    assert keys(store) == []


# a folder


@pytest.mark.parametrize(
    "key", ["file-link.png", "folder-link/secret.png", "folder-link/new.png", "new-link.png"]
)
def test_a_link_to_outside_the_folder_is_refused(folder: FileStore, tmp_path: Path, key: str):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.png").write_bytes(b"secret")
    root = tmp_path / "root"
    (root / "file-link.png").symlink_to(outside / "secret.png")
    (root / "folder-link").symlink_to("../outside")
    (root / "new-link.png").symlink_to(outside / "not-yet.png")
    for call in each_call(folder, key):
        assert code_of(call) is ErrorCode.LINK_OUTSIDE
    assert [path.read_bytes() for path in outside.iterdir()] == [b"secret"]


def test_the_reserved_folder_must_not_be_a_link_to_outside_either(
    folder: FileStore, tmp_path: Path
):
    (tmp_path / "outside").mkdir()
    (tmp_path / "root/_cutout").symlink_to(tmp_path / "outside")
    assert code_of(lambda: put(folder, "a.png")) is ErrorCode.LINK_OUTSIDE
    assert list((tmp_path / "outside").iterdir()) == []


def test_links_within_the_folder_are_read_and_do_not_make_a_listing_loop(
    folder: FileStore, tmp_path: Path
):
    put(folder, "real/a.png")
    root = tmp_path / "root"
    (root / "link.png").symlink_to("real/a.png")
    (root / "real/circle").symlink_to(root)
    assert keys(folder) == ["link.png", "real/a.png"]
    (page,) = folder.pages()
    assert page.linked_folders == ("real/circle",)
    assert folder.get("link.png") == folder.get("real/a.png")


def test_a_broken_link_is_listed_and_cannot_be_read(folder: FileStore, tmp_path: Path):
    (tmp_path / "root/dangling.png").symlink_to("nowhere.png")
    (tmp_path / "root/loop.png").symlink_to("loop.png")
    assert keys(folder) == ["dangling.png", "loop.png"]
    assert folder.head("dangling.png") is None
    assert code_of(lambda: folder.get("dangling.png")) is ErrorCode.OBJECT_MISSING
    for call in each_call(folder, "loop.png")[:2]:
        assert code_of(call) is ErrorCode.UNSAFE_KEY


@pytest.mark.timeout(20)
def test_a_pipe_is_not_an_object_and_does_not_block(folder: FileStore, tmp_path: Path):
    os.mkfifo(tmp_path / "root/pipe.png")
    assert keys(folder) == []
    assert folder.head("pipe.png") is None
    assert code_of(lambda: folder.get("pipe.png")) is ErrorCode.OBJECT_MISSING


def test_a_key_below_an_existing_file_is_refused_and_the_file_kept(folder: FileStore):
    put(folder, "a.png", "b.png/c.png")
    for key in ["a.png/below.png", "b.png"]:
        assert code_of(lambda key=key: put(folder, key)) is ErrorCode.UNSAFE_KEY
    assert keys(folder) == ["a.png", "b.png/c.png"]


def test_a_large_folder_is_sorted_in_parts(folder: FileStore, monkeypatch):
    put(folder, *TREE)
    monkeypatch.setattr(directory, "RUN_NAMES", 2)
    assert keys(folder) == TREE
    assert keys(folder, "a/b") == ["a/b.c", "a/b/c.png", "a/b0.png"]


def test_a_name_that_is_not_unicode_does_not_break_the_listing(folder: FileStore, tmp_path: Path):
    raw = os.fsencode(tmp_path / "root") + b"/caf\xe9.jpg"
    Path(os.fsdecode(raw)).write_bytes(b"1")
    put(folder, "a.jpg")
    listed = keys(folder)
    assert len(listed) == 2
    assert folder.get(listed[1]).data == b"1"


def test_a_folder_that_is_deleted_as_empty_while_a_file_is_written_is_created_again(
    folder: FileStore, tmp_path: Path, monkeypatch
):
    """Two records of one server: one is deleted while the other is written."""
    folder.put("_cutout/records/first.json", b"1", "application/json")
    synced, write = [], os.fsync

    def deleting(descriptor: int) -> None:
        write(descriptor)
        if not synced:
            folder.delete("_cutout/records/first.json")
            synced.append(descriptor)

    monkeypatch.setattr(os, "fsync", deleting)
    folder.put("_cutout/records/second.json", b"2", "application/json")
    assert synced
    assert folder.get("_cutout/records/second.json").data == b"2"
    assert not (tmp_path / "root/_cutout/records/first.json").exists()


@pytest.mark.slow
def test_a_writer_killed_while_writing_leaves_the_old_content(folder: FileStore, tmp_path: Path):
    folder.put("a/b.png", b"old", "image/png", {"mark": "old"})
    code = (
        "import sys, pathlib; from contract.storage.files import FileStore;"
        "FileStore(pathlib.Path(sys.argv[1])).put('a/b.png', sys.stdin.buffer, 'image/png')"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "root")], stdin=subprocess.PIPE
    )
    assert writer.stdin is not None
    writer.stdin.write(b"new" * 1_000_000)
    writer.stdin.flush()
    root = tmp_path / "root"
    until(lambda: sum(p.stat().st_size for p in root.rglob("*") if p.is_file()) > 1_000_000)
    for kill in (False, True):
        if kill:
            writer.kill()
            writer.wait()
        head = folder.head("a/b.png")
        assert head is not None
        assert (folder.get("a/b.png").data, head.metadata) == (b"old", {"mark": "old"})
        assert keys(folder) == ["a/b.png"]
    writer.stdin.close()


class _Breaking(io.RawIOBase):
    def read(self, size: int = -1) -> bytes:
        raise OSError(5, "the source broke")


def test_a_put_that_fails_leaves_nothing_behind(folder: FileStore, tmp_path: Path):
    put(folder, "a.png")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RetryableError):
        folder.put("a.png", _Breaking(), "image/png")
    assert sorted(tmp_path.rglob("*")) == before
    assert folder.get("a.png").data == b"a.png"


def test_metadata_of_replaced_content_is_ignored(folder: FileStore, tmp_path: Path):
    folder.put("a.png", b"first", "image/png", {"mark": "1"})
    (tmp_path / "root/a.png").write_bytes(b"second")
    head = folder.head("a.png")
    assert head is not None
    assert (head.size, head.metadata) == (6, {})
    for path in (tmp_path / "root/_cutout").rglob("*.json"):
        path.write_text('["not", "metadata"]')
    assert folder.head("a.png") == head


def test_only_the_reserved_folder_is_added_to_the_tree(folder: FileStore, tmp_path: Path):
    folder.put("a/b.png", b"1", "image/png", {"mark": "1"})
    folder.put("_cutout/report.csv", b"2", "text/csv")
    assert {path.name for path in (tmp_path / "root").iterdir()} == {"a", "_cutout"}
    assert [path.name for path in (tmp_path / "root/a").iterdir()] == ["b.png"]
    assert keys(folder) == ["_cutout/report.csv", "a/b.png"]  # the metadata files are no objects


@contextmanager
def without_privileges() -> Iterator[Path]:
    """Yield a folder that is accessible without root, while this process is not root."""
    # not in TMPDIR: the run's own folder is closed to other users
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        root = Path(name)
        root.chmod(0o755)
        uid = os.geteuid()
        if uid == 0:
            os.chown(root, 65534, -1)
            os.seteuid(65534)
        try:
            yield root
        finally:
            if uid == 0:
                os.seteuid(uid)


def test_missing_permissions_are_access_denied():
    with without_privileges() as root:
        store = FileStore(root)
        put(store, "open.png", "closed.png", "closed/a.png")
        (root / "closed.png").chmod(0)
        (root / "closed").chmod(0)
        try:
            assert store.get("open.png").data == b"open.png"
            for call in [
                lambda: store.get("closed.png"),
                *each_call(store, "closed/a.png"),
                lambda: list(store.list()),
            ]:
                assert code_of(call) is ErrorCode.ACCESS_DENIED
        finally:
            (root / "closed").chmod(0o700)


def test_a_folder_that_does_not_exist_is_missing(tmp_path: Path):
    store = FileStore(tmp_path / "none")
    assert store.head("a.png") is None
    assert code_of(lambda: list(store.list())) is ErrorCode.OBJECT_MISSING


@pytest.mark.parametrize(
    "location", ["s3://", "s3:///prefix", "http://x/y", "file://host/x", "gs://b"]
)
def test_an_unknown_location_is_refused(location: str):
    assert code_of(lambda: open_store(location)) is ErrorCode.INVALID_LOCATION
    assert code_of(lambda: canonical_location("s3:/bucket/prefix")) is ErrorCode.INVALID_LOCATION


@pytest.mark.parametrize("location", ["caf\udce9", "file:///caf\udce9"])
def test_a_folder_whose_name_is_not_unicode_is_refused(location: str):
    with pytest.raises(PermanentError, match="not Unicode") as caught:
        canonical_location(location)
    assert caught.value.code is ErrorCode.INVALID_LOCATION
    str(caught.value).encode()


# S3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value"),
    [("AWS_SECRET_ACCESS_KEY", "wrong-secret"), ("AWS_ACCESS_KEY_ID", "unknown-key")],
)
def test_wrong_credentials_are_named(
    rclone_server: S3Server, monkeypatch: pytest.MonkeyPatch, name: str, value: str
):
    # only rclone: moto does not check signatures
    use(monkeypatch, rclone_server.url, **{name: value})
    store = S3Store(bucket_on(rclone_server.url), "shoes")
    for call in [*each_call(store, "a.png"), lambda: list(store.list())]:
        with pytest.raises(PermanentError) as caught:
            call()
        assert caught.value.code is ErrorCode.INVALID_CREDENTIALS
        assert value not in str(caught.value)


@pytest.mark.parametrize("profile", [None, "unknown"])
def test_missing_credentials_and_profiles_are_named(
    monkeypatch: pytest.MonkeyPatch, profile: str | None
):
    use(monkeypatch, "http://127.0.0.1:9")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    if profile:
        monkeypatch.setenv("AWS_PROFILE", profile)
    assert code_of(lambda: S3Store("shop", "").head("a.png")) is ErrorCode.INVALID_CREDENTIALS


@pytest.mark.slow
def test_a_profile_brings_credentials_and_endpoint(
    rclone_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    bucket = bucket_on(rclone_server.url)
    (tmp_path / "config").write_text(
        f"[profile shop]\nregion = us-east-1\nendpoint_url = {rclone_server.url}\n"
        f"aws_access_key_id = {CREDENTIALS['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key = {CREDENTIALS['AWS_SECRET_ACCESS_KEY']}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_PROFILE", "shop")
    store = S3Store(bucket, uuid.uuid4().hex)
    put(store, "a.png")
    assert keys(store) == ["a.png"]


@pytest.mark.parametrize("url", ["not a url", "http://"])
def test_a_malformed_endpoint_url_is_an_invalid_setting(monkeypatch: pytest.MonkeyPatch, url: str):
    use(monkeypatch, url)
    assert code_of(lambda: S3Store("shop", "")) is ErrorCode.INVALID_SETTING


@pytest.mark.parametrize("bucket", ["unknown-bucket", "No_Bucket!"])
def test_a_missing_bucket_is_named(
    rclone_server: S3Server, monkeypatch: pytest.MonkeyPatch, bucket: str
):
    use(monkeypatch, rclone_server.url)
    with pytest.raises(PermanentError, match=bucket):
        list(S3Store(bucket, "").list())


@pytest.mark.slow
def test_a_listing_of_several_pages_is_complete_and_in_order(rclone_server: S3Server, new_location):
    store = open_store(new_location(rclone_server))
    names = [f"{i % 7}/ü+{i:04d}.png" for i in range(1007)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: store.put(name, b"", "image/png"), names))
    assert keys(store) == sorted(names)


def test_foreign_keys_are_listed_but_never_read_or_written(moto_server: S3Server, new_location):
    # only moto: rclone refuses such keys, AWS accepts them
    store = open_store(new_location(moto_server))
    bucket, _, prefix = store.uri.removeprefix("s3://").partition("/")
    put(store, "a.png")
    for name in ["", "console-placeholder/", "a//b.png", "../x.png"]:
        store._client.put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=b"1")
    listed = keys(store)
    assert listed == ["../x.png", "a.png", "a//b.png"]
    for call in each_call(store, "../x.png"):
        assert code_of(call) is ErrorCode.UNSAFE_KEY
    assert store.get("a//b.png").data == b"1"


@pytest.mark.slow
@pytest.mark.parametrize("key", ["/a.png", "//a.png", "a//b.png", "a///b.png"])
def test_keys_with_empty_parts_are_objects_of_their_own(
    moto_server: S3Server, new_location, key: str
):
    root = f"s3://{bucket_on(moto_server.url)}"
    for store in (open_store(new_location(moto_server)), open_store(root)):
        plain = key.replace("//", "/").replace("//", "/").lstrip("/")
        put(store, plain, key)
        assert store.get(key).data == key.encode()
        assert store.get(plain).data == plain.encode()
        assert {key, plain} <= {*keys(store)}
        store.delete(key)
        assert store.head(key) is None
        store.delete(plain)


@pytest.mark.parametrize(
    ("location", "store", "key"),
    [
        ("s3://b/a.jpg", "s3://b", "a.jpg"),
        ("s3://b/in/x/a.jpg", "s3://b/in/x", "a.jpg"),
        ("s3://b//a.jpg", "s3://b", "/a.jpg"),
        ("s3://b//in/a.jpg", "s3://b", "/in/a.jpg"),
        ("s3://b/in//a.jpg", "s3://b/in", "/a.jpg"),
        ("s3://b/in//x///a.jpg", "s3://b/in", "/x///a.jpg"),
    ],
)
def test_an_object_is_split_from_its_store(location: str, store: str, key: str):
    assert split_object(location) == (store, key)


def test_only_objects_in_buckets_have_empty_parts():
    assert split_object("file:///x/a.jpg") == ("file:///x", "a.jpg")


@pytest.mark.parametrize(
    ("location", "canonical"),
    [
        ("s3://b", "s3://b"), ("s3://b/", "s3://b"), ("s3://b//", "s3://b"),
        ("s3://b/in/", "s3://b/in"), ("s3://b//in//", "s3://b//in"), ("s3://b/in//x", "s3://b/in//x"),
    ],
)  # fmt: skip
def test_empty_parts_of_a_prefix_are_kept(location: str, canonical: str):
    assert canonical_location(location) == canonical


def test_a_prefix_that_begins_with_an_empty_part_is_a_store_of_its_own(
    moto_server: S3Server, new_location
):
    new_location(moto_server)
    root = f"s3://{bucket_on(moto_server.url)}"
    plain, slashed = (open_store(root + end) for end in ("/parts", "//parts"))
    put(plain, "a.png")
    put(slashed, "b.png")
    assert (keys(plain), keys(slashed)) == (["a.png"], ["b.png"])
    assert slashed.uri == f"{root}//parts" == canonical_location(slashed.uri)


@pytest.mark.parametrize("key", ["", ".", "..", "../x", "a/../x", "a/", "//", "a//", "a\0b"])
def test_a_key_that_no_reader_agrees_on_is_refused(moto_server: S3Server, new_location, key: str):
    store = open_store(new_location(moto_server))
    for call in each_call(store, key):
        assert code_of(call) is ErrorCode.UNSAFE_KEY


@pytest.mark.timeout(60)
def test_an_endpoint_that_is_down_is_retryable_soon_and_reveals_no_secret(
    monkeypatch: pytest.MonkeyPatch,
):
    use(monkeypatch, f"http://user:password-in-url@127.0.0.1:{free_port()}")
    store = S3Store("shop", "shoes")
    calls = [*each_call(store, "a.png"), lambda: list(store.list())]
    start = time.monotonic()
    with ThreadPoolExecutor(len(calls)) as pool:
        errors = [pool.submit(call).exception() for call in calls]
    assert time.monotonic() - start < 50
    for error in errors:
        assert isinstance(error, RetryableError)
        assert error.code is ErrorCode.STORAGE_UNAVAILABLE
        assert "s3://shop/shoes" in str(error)
        for secret in [*CREDENTIALS.values(), "password-in-url"]:
            assert secret not in str(error) or secret in {"true", "us-east-1"}


GOOD = (200, {"ETag": '"e"', "Content-Length": "4"}, b"good")
SLOW_DOWN = (503, {}, b"<Error><Code>SlowDown</Code></Error>")
DENIED = (403, {}, b"<Error><Code>AccessDenied</Code></Error>")
NOT_S3 = (200, {"Content-Type": "text/html"}, b"<!DOCTYPE html><html><br>Welcome to nginx!")
CUT_SHORT = (200, {"ETag": '"e"', "Content-Length": "1000"}, b"only this")


@contextmanager
def answering(*script: tuple[int, dict[str, str], bytes]) -> Iterator[tuple[str, list[str]]]:
    """Yield the URL of an endpoint that sends these responses in turn, then the last one forever.

    Also yield the list of requested paths.
    """
    requested: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = script[min(len(requested), len(script) - 1)]
            requested.append(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
            self.close_connection = True

        do_HEAD = do_GET  # noqa: N815 - its name in the standard library

        def log_message(self, *_) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requested
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("response", "code", "attempts"),
    [
        (CUT_SHORT, ErrorCode.STORAGE_UNAVAILABLE, 1),
        (SLOW_DOWN, ErrorCode.STORAGE_UNAVAILABLE, 2),
        (NOT_S3, ErrorCode.STORAGE_UNAVAILABLE, 1),
        (DENIED, ErrorCode.ACCESS_DENIED, 1),
    ],
    ids=["cut short", "slow down", "not S3", "denied"],
)
def test_a_bad_response_has_a_code_and_a_number_of_attempts(
    monkeypatch: pytest.MonkeyPatch, response, code: ErrorCode, attempts: int
):
    slept: list[float] = []
    monkeypatch.setattr("botocore.endpoint.time.sleep", slept.append)
    sent = requests_sent()
    with answering(response) as (url, requested):
        use(monkeypatch, url)
        with pytest.raises(CutoutError) as caught:
            S3Store("shop", "").get("a.png")
    assert (caught.value.code, len(requested), len(slept)) == (code, attempts, attempts - 1)
    assert requests_sent() - sent == attempts  # repeated ones included
    assert sum(slept) < 20
    assert isinstance(caught.value, RetryableError) == (code is ErrorCode.STORAGE_UNAVAILABLE)


ANSWERS = {
    (403, "InvalidObjectState"): "object_archived",
    (400, "InvalidRequest"): "storage_refused",
    (405, "MethodNotAllowed"): "storage_refused",
    (400, "EntityTooLarge"): "storage_refused",
    (400, "SomethingNew"): "storage_refused",
    (501, "NotImplemented"): "storage_refused",
    (400, "KMS.DisabledException"): "encryption_key_refused",
    (400, "KMS.NotFoundException"): "encryption_key_refused",
    (400, "KMS.KMSInvalidStateException"): "encryption_key_refused",
    (400, "InvalidToken"): "invalid_credentials",
    (403, "InvalidAccessKeyId"): "invalid_credentials",
    (403, "SignatureDoesNotMatch"): "invalid_credentials",
    (403, "RequestTimeTooSkewed"): "invalid_credentials",
    (301, "PermanentRedirect"): "wrong_region",
    (307, "TemporaryRedirect"): "wrong_region",
    (400, "AuthorizationHeaderMalformed"): "wrong_region",
    (403, "AccountProblem"): "access_denied",
    (403, "SomethingNew"): "access_denied",
}
"""Status and code of S3 -> our code. All of them stay so."""
PASSING = {
    (400, "ExpiredToken"): "invalid_credentials",
    (400, "RequestTimeout"): "storage_unavailable",
    (400, "BadDigest"): "storage_unavailable",
    (400, "KMS.ThrottlingException"): "storage_unavailable",
    (429, "SomethingNew"): "storage_unavailable",
    (500, "SomethingNew"): "storage_unavailable",
    (503, "SlowDown"): "storage_unavailable",
    (403, "QuotaExceeded"): "storage_full",
    (507, "XMinioStorageFull"): "storage_full",
}
"""The same of those that may pass."""


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "code"), [*ANSWERS.items(), *PASSING.items()])
def test_only_what_may_pass_is_retried(
    moto_server: S3Server, new_location, monkeypatch: pytest.MonkeyPatch, answer, code: str
):
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    location = new_location(moto_server)
    with HttpProxy(moto_server.url) as proxy:
        use(monkeypatch, proxy.url)
        store = open_store(location)
        store.put("a.png", b"a", "image/png")
        proxy.add(status(*answer), path="/shoes")
        for call in each_call(store, "a.png"):
            with pytest.raises(CutoutError) as caught:
                call()
            assert caught.value.code == code
            assert isinstance(caught.value, RetryableError) == (answer in PASSING)
            assert "a.png" in caught.value.message


def test_a_wrong_token_is_named_although_the_answer_to_a_head_has_no_body(
    moto_server: S3Server, new_location, monkeypatch: pytest.MonkeyPatch
):
    location = new_location(moto_server)
    with HttpProxy(moto_server.url) as proxy:
        use(monkeypatch, proxy.url)
        store = open_store(location)
        store.put("empty.png", b"", "image/png")
        proxy.add(status(400), {"HEAD"})
        # the GET of an empty object succeeds, or answers InvalidRange
        assert code_of(lambda: store.head("empty.png")) is ErrorCode.STORAGE_REFUSED
        proxy.add(status(400, "InvalidToken"), {"GET"})
        assert code_of(lambda: store.head("empty.png")) is ErrorCode.INVALID_CREDENTIALS


def test_compressed_objects_are_decoded(moto_server: S3Server, new_location):
    store = open_store(new_location(moto_server))
    bucket, _, prefix = store.uri.removeprefix("s3://").partition("/")
    store._client.put_object(
        Bucket=bucket, Key=f"{prefix}/a.jpg", Body=gzip.compress(b"photograph" * 100),
        ContentEncoding="gzip",
    )  # fmt: skip
    blob = store.get("a.jpg", 1000)
    assert (blob.data, blob.etag) == (b"photograph" * 100, store.head("a.jpg").etag)
    assert code_of(lambda: store.get("a.jpg", 999)) is ErrorCode.TOO_MANY_BYTES


def test_settings_add_headers_to_the_requests(
    moto_server: S3Server, new_location, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CUTOUT_S3_ENCRYPTION", "aws:kms")
    monkeypatch.setenv("CUTOUT_S3_KMS_KEY", "alias/photographs")
    monkeypatch.setenv("CUTOUT_S3_REQUESTER_PAYS", "true")
    seen: list[tuple[str, dict[str, str]]] = []
    store = open_store(new_location(moto_server))
    store._client.meta.events.register(
        "before-send.s3",
        lambda request, **_: seen.append((request.method, dict(request.headers))),
    )
    store.put("a.png", b"new", "image/png")
    assert keys(store) == ["a.png"]
    write_over(store, etag_of(store), b"newer")
    assert store.get("a.png").data == b"newer"
    assert {method for method, _ in seen} == {"GET", "HEAD", "PUT"}
    for method, headers in seen:
        signed = str(headers["Authorization"])
        assert headers["x-amz-request-payer"] in {"requester", b"requester"}
        assert "x-amz-request-payer" in signed
        assert ("x-amz-server-side-encryption-aws-kms-key-id" in headers) == (method == "PUT")
        assert ("x-amz-server-side-encryption" in signed) == (method == "PUT")


@pytest.mark.slow
def test_an_output_is_encrypted_as_the_settings_say(
    moto_server: S3Server, new_location, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CUTOUT_S3_ENCRYPTION", "AES256")
    store = open_store(new_location(moto_server))
    bucket, _, prefix = store.uri.removeprefix("s3://").partition("/")
    large = io.BytesIO(bytes(9 << 20))  # in parts
    for key, body in (("a.png", b"1"), ("b.zip", large)):
        store.put(key, body, "image/png")
        head = store._client.head_object(Bucket=bucket, Key=f"{prefix}/{key}")
        assert head["ServerSideEncryption"] == "AES256"


def test_an_object_in_an_archive_is_named(moto_server: S3Server, new_location):
    store = open_store(new_location(moto_server))
    bucket, _, prefix = store.uri.removeprefix("s3://").partition("/")
    store._client.put_object(
        Bucket=bucket, Key=f"{prefix}/a.png", Body=b"1", StorageClass="DEEP_ARCHIVE"
    )
    with pytest.raises(PermanentError) as caught:
        store.get("a.png")
    assert caught.value.code is ErrorCode.OBJECT_ARCHIVED
    assert "Restore it from the archive first" in str(caught.value)


def test_a_full_disk_says_so(folder: FileStore, monkeypatch: pytest.MonkeyPatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("contract.storage.files.os.fsync", full)
    with pytest.raises(RetryableError) as caught:
        folder.put("a.png", b"1", "image/png")
    assert caught.value.code is ErrorCode.STORAGE_FULL
    assert "No space left on device" in caught.value.message


def test_a_server_that_is_not_s3_is_recognised_by_head_and_list_too(
    monkeypatch: pytest.MonkeyPatch,
):
    with answering(NOT_S3) as (url, _):
        use(monkeypatch, url)
        store = S3Store("shop", "")
        for call in [lambda: store.head("a.png"), lambda: list(store.list())]:
            assert code_of(call) is ErrorCode.STORAGE_UNAVAILABLE


@pytest.mark.slow
@pytest.mark.parametrize(
    "refusal", [status(501, "NotImplemented"), status(400, "InvalidArgument")], ids=["501", "400"]
)
def test_a_server_without_conditions_is_asked_for_the_etag_first(
    moto_server: S3Server, new_location, monkeypatch: pytest.MonkeyPatch, refusal: Fault
):
    location = new_location(moto_server)
    with HttpProxy(moto_server.url) as proxy:
        use(monkeypatch, proxy.url)
        store = open_store(location)
        proxy.add(refusal, {"PUT"}, limit=1)
        write_over(store, "", b"first")
        assert store.get("a.png").data == b"first"
        assert code_of(lambda: write_over(store, "")) is ErrorCode.OBJECT_CHANGED
        puts = proxy.requests["PUT"]
        write_over(store, etag_of(store), b"second")
        assert proxy.requests["PUT"] == puts + 1
        assert store.get("a.png").data == b"second"


@pytest.mark.slow
def test_a_server_whose_conditions_always_fail_is_written_to_all_the_same(
    moto_server: S3Server, new_location, monkeypatch: pytest.MonkeyPatch
):
    location = new_location(moto_server)
    with HttpProxy(moto_server.url) as proxy:
        use(monkeypatch, proxy.url)
        store = open_store(location)
        proxy.add(status(412, "PreconditionFailed"), {"PUT"}, limit=1)
        write_over(store, "")
        assert store.get("a.png").data == b"new"


@pytest.mark.slow
def test_a_short_overload_is_retried(monkeypatch: pytest.MonkeyPatch):
    with answering(SLOW_DOWN, GOOD) as (url, requested):
        use(monkeypatch, url)
        assert S3Store("shop", "").get("a.png").data == b"good"
    assert len(requested) == 2
