"""A batch is registered once and completely, whatever happens to its listing.

`tests/drills/test_registration.py` kills the processes that list.
"""

import os
import threading
import time
from pathlib import Path

import boto3
import pytest
from support.faults import delay, status
from support.listing import LISTING, PHOTOGRAPHS, RECIPE, listed, photographs, submit
from support.services import S3Server

from contract import names
from contract.batch import Selection
from contract.errors import CutoutError, ErrorCode, PermanentError
from contract.outcome import Outcome, Status
from contract.schedule import Schedule
from contract.storage import open_store, outcome_files
from contract.storage.batch_files import read_private_fields
from producer.batches import control, listing, storage_retry
from producer.batches.drain import drain
from producer.batches.listing import list_source
from producer.batches.preview import preview
from producer.batches.register import begin, new_spec, register
from producer.batches.report.rows import current
from producer.batches.resource import batch_resource
from producer.batches.storage_retry import StoppedError
from producer.callbacks.schedule import CallbackSchedule


@pytest.mark.slow
def test_two_503s_on_one_page_do_not_lose_a_submit(ledger, proxy, small_bucket) -> None:
    proxy.add(status(503), methods=["GET"], path=LISTING, limit=9)
    spec = submit(ledger, small_bucket)
    assert (listed(spec), spec.ignored) == (photographs(), 1)
    assert ledger.batches.progress(spec.id).state == "open"


@pytest.mark.slow
def test_a_listing_survives_storage_that_fails_now_and_then(ledger, proxy, small_bucket) -> None:
    proxy.add(status(503), probability=0.2, seed=3)
    proxy.add(status(500), probability=0.05, seed=4)
    spec = submit(ledger, small_bucket)
    proxy.clear()
    assert (listed(spec), spec.ignored) == (photographs(), 1)


@pytest.mark.slow
def test_an_outage_while_the_manifest_is_written_does_not_lose_a_submit(
    ledger, proxy, small_bucket
) -> None:
    proxy.add(status(503), methods=["PUT"], limit=10)
    assert listed(submit(ledger, small_bucket)) == photographs()


@pytest.mark.slow
def test_storage_that_never_answers_is_given_up_soon(ledger, proxy, small_bucket) -> None:
    proxy.add(status(503))
    started = time.monotonic()
    with pytest.raises(CutoutError) as caught:
        submit(ledger, small_bucket)
    assert caught.value.code is ErrorCode.STORAGE_UNAVAILABLE
    assert time.monotonic() - started < 60


@pytest.mark.slow
def test_the_same_submit_twice_is_one_batch(ledger, proxy, small_bucket) -> None:
    first = submit(ledger, small_bucket, name="spring")
    assert submit(ledger, small_bucket, name="spring") == first
    with pytest.raises(PermanentError) as caught:
        submit(ledger, small_bucket, name="spring", force=True)
    assert caught.value.code is ErrorCode.IDEMPOTENCY_CONFLICT
    assert submit(ledger, small_bucket).id != first.id


@pytest.mark.slow
def test_two_at_once_with_one_name_are_one_batch(ledger, proxy, small_bucket) -> None:
    proxy.add(delay(0.05), path=LISTING)
    results: list[object] = []

    def run() -> None:
        try:
            results.append(submit(ledger, small_bucket, name="spring").id)
        except CutoutError as error:
            results.append(error.code)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (batch,) = ledger.batches.ids()
    assert set(results) <= {batch, ErrorCode.BATCH_CONFLICT}
    assert listed(ledger.batches.progress(batch).spec) == photographs()


@pytest.mark.slow
def test_a_listing_that_cannot_succeed_leaves_no_batch_and_no_name(
    ledger, proxy, small_bucket
) -> None:
    for _ in range(2):
        with pytest.raises(PermanentError) as caught:
            register(
                ledger, f"s3://{small_bucket}/no", f"s3://{small_bucket}/out", RECIPE, name="spring"
            )
        assert caught.value.code is ErrorCode.NOTHING_TO_DO
    assert ledger.batches.ids() == []
    assert submit(ledger, small_bucket, name="spring").total == PHOTOGRAPHS


@pytest.mark.slow
def test_a_batch_that_was_begun_is_listed_by_the_next_process(ledger, proxy, small_bucket) -> None:
    spec = new_spec(f"s3://{small_bucket}/in", f"s3://{small_bucket}/out", RECIPE)
    assert begin(ledger, spec) == spec
    assert submit(ledger, small_bucket).id == spec.id


def test_the_next_process_says_when_a_batch_runs_and_who_is_notified(
    ledger, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").touch()
    locations, url = (str(tmp_path / "in"), str(tmp_path / "out")), "https://shop.example/hook"
    begun = begin(ledger, new_spec(*locations, RECIPE))
    schedule = Schedule(priority=5)
    spec = register(ledger, *locations, RECIPE, schedule=schedule, callback_url=url)
    assert (spec.id, spec.schedule) == (begun.id, schedule)
    assert read_private_fields(spec.id, spec.destination).callback_url == url
    ledger.lines.finish(spec.id, Outcome(line=0, key="a.jpg", status=Status.DONE))
    drain(ledger, spec)
    ledger.batches.lease_report(spec.id, "d", 60)
    assert ledger.batches.close(spec.id, 0, "d")
    callbacks = CallbackSchedule(ledger.connection, names.BATCH_CALLBACKS)
    assert callbacks.is_pending(f"{spec.id}:0")


def test_a_batch_of_the_api_is_left_to_its_servers(ledger, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").touch()
    locations = (str(tmp_path / "in"), str(tmp_path / "out"))
    begun = begin(ledger, new_spec(*locations, RECIPE, background=True))
    assert register(ledger, *locations, RECIPE).id != begun.id
    assert ledger.batches.progress(begun.id).state == "registering"


def test_unsafe_and_colliding_keys_are_settled_after_a_takeover(
    ledger, small_pages, tmp_path: Path
) -> None:
    source = fifty_photographs(tmp_path / "in")
    (source / "00.png").touch()
    (source / "49.png").touch()
    (source / os.fsdecode(b"caf\xe9.jpg")).touch()
    spec = begin(ledger, new_spec(str(source), str(tmp_path / "out"), RECIPE))
    token = "0" * 8
    assert ledger.listings.acquire(spec.id, token)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing._Listing, "finish", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            listing.list_source(ledger, spec, token)
    ledger.listings.release(spec.id, token)
    complete = register(ledger, str(source), str(tmp_path / "out"), RECIPE)
    assert complete.id == spec.id
    assert ledger.batches.progress(spec.id).failed == 5
    assert len(listed(complete)) == 53
    store = open_store(complete.destination)
    assert store.head(names.checkpoint_key(spec.id)) is None


def test_lines_that_a_killed_process_settled_may_be_others_in_the_next_listing(
    ledger, small_pages, tmp_path: Path, monkeypatch
) -> None:
    """It is killed just before it opens the batch, and a photograph is deleted then."""
    source = fifty_photographs(tmp_path / "in")
    (source / "00.png").touch()
    (source / "48.png").touch()
    open_batch = ledger.batches.open
    monkeypatch.setattr(ledger.batches, "open", _interrupted)
    with pytest.raises(KeyboardInterrupt):
        register(ledger, str(source), str(tmp_path / "out"), RECIPE)
    monkeypatch.setattr(ledger.batches, "open", open_batch)
    (source / "48.png").unlink()
    complete = register(ledger, str(source), str(tmp_path / "out"), RECIPE)
    progress = ledger.batches.progress(complete.id)
    assert (progress.spec.total, progress.settled, progress.failed) == (51, 2, 2)
    assert sorted(row.key for row in current(ledger, complete)) == ["00.jpg", "00.png"]
    rows = outcome_files.rows(open_store(complete.destination), complete.id)
    assert sorted(row.key for row in rows) == ["00.jpg", "00.png"]
    assert len(ledger.lines.issue(complete.id, 99, 99, 60).bulk) == 49


def test_a_batch_that_is_cancelled_while_it_is_completed_is_not_submitted(
    ledger, small_pages, tmp_path: Path, monkeypatch
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for name in ("a.jpg", "a.png"):
        (source / name).touch()
    finish_all = ledger.lines.finish_all

    def cancelled_meanwhile(batch: str, outcomes: list[Outcome]) -> None:
        finish_all(batch, outcomes)
        control.cancel(ledger, batch)

    monkeypatch.setattr(ledger.lines, "finish_all", cancelled_meanwhile)
    with pytest.raises(PermanentError, match="an operator cancelled it"):
        register(ledger, str(source), str(tmp_path / "out"), RECIPE)
    (batch,) = ledger.batches.ids()
    assert ledger.batches.progress(batch).state == "failed"
    assert open_store(str(tmp_path / "out")).head(names.spec_key(batch)) is None


def _interrupted(_: object) -> None:
    raise KeyboardInterrupt


def test_selections_are_part_of_what_makes_a_batch_the_same(ledger, proxy, small_bucket) -> None:
    first = submit(ledger, small_bucket, name="spring", selection=Selection(limit=5))
    assert first.total == 5
    with pytest.raises(PermanentError):
        submit(ledger, small_bucket, name="spring")


def test_a_single_photograph_may_be_selected_by_its_time(ledger, tmp_path: Path) -> None:
    photograph, modified = tmp_path / "shoe.jpg", 1_700_000_000
    photograph.write_bytes(b"x")
    os.utime(photograph, (modified, modified))

    def registered(since: float) -> int:
        selection = Selection(since=since)
        out = str(tmp_path / "out")
        return register(ledger, str(photograph), out, RECIPE, selection=selection).total

    assert registered(modified - 1) == 1
    with pytest.raises(PermanentError) as caught:
        registered(modified + 1)
    assert caught.value.code is ErrorCode.NOTHING_TO_DO


@pytest.mark.parametrize("key", ["/a.jpg", "x//a.jpg", "/x/a.jpg"])
def test_one_photograph_whose_key_has_an_empty_part(
    ledger, moto_server: S3Server, monkeypatch, tmp_path: Path, key: str
) -> None:
    moto_server.select(monkeypatch)
    bucket = f"one-{time.time_ns()}"
    client = boto3.session.Session().client("s3")
    client.create_bucket(Bucket=bucket)
    for other in (key, key.replace("//", "/").strip("/")):
        client.put_object(Bucket=bucket, Key=other, Body=other.encode())
    spec = register(ledger, f"s3://{bucket}/{key}", f"s3://{bucket}/out", RECIPE)
    (name,) = listed(spec)
    assert open_store(spec.source).get(name).data == key.encode()


def test_a_manifest_whose_key_has_an_empty_part(ledger, moto_server, monkeypatch) -> None:
    moto_server.select(monkeypatch)
    bucket = f"list-{time.time_ns()}"
    client = boto3.session.Session().client("s3")
    client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="/list.txt", Body=b"a.jpg\n")
    client.put_object(Bucket=bucket, Key="list.txt", Body=b"b.jpg\n")
    selection = Selection(manifest=f"s3://{bucket}//list.txt")
    spec = register(ledger, f"s3://{bucket}/in", f"s3://{bucket}/out", RECIPE, selection=selection)
    assert listed(spec) == ["a.jpg"]


@pytest.mark.parametrize("destination", ["s3://b", "s3://b/", "s3://b//x/", "s3://b/x"])
def test_empty_parts_do_not_hide_that_outputs_would_overwrite_photographs(destination: str) -> None:
    """Some servers keep objects as files, for which `x//y` is `x/y`."""
    with pytest.raises(PermanentError) as caught:
        new_spec("s3://b/x/", destination, RECIPE)
    assert caught.value.code is ErrorCode.OVERLAPPING_LOCATIONS


def fifty_photographs(folder: Path) -> Path:
    folder.mkdir()
    for number in range(50):
        (folder / f"{number:02}.jpg").touch()
    return folder


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A folder with links to folders and files, inside and outside, and companion files."""
    source, outside = tmp_path / "in", tmp_path / "outside"
    (source / "shoes").mkdir(parents=True)
    (source / "@eaDir/a.jpg").mkdir(parents=True)
    outside.mkdir()
    for path in (
        source / "a.jpg", source / "shoes/b.jpg", outside / "c.jpg", source / "._a.jpg",
        source / "@eaDir/a.jpg/SYNOPHOTO_THUMB.jpg",
    ):  # fmt: skip
        path.write_bytes(b"x")
    (source / "shoes.link").symlink_to("shoes")
    (source / "shoes/more").symlink_to(outside)
    (source / "inside.jpg").symlink_to("a.jpg")
    (source / "outside.jpg").symlink_to(outside / "c.jpg")
    return source


def test_links_and_companion_files_are_counted_and_named(
    ledger, linked: Path, tmp_path: Path, small_pages: None, monkeypatch
) -> None:
    monkeypatch.setattr(storage_retry, "PAGE_KEYS", 2)
    folders = ("shoes.link", "shoes/more")
    spec = register(ledger, str(linked), str(tmp_path / "out"), RECIPE)
    assert listed(spec) == ["a.jpg", "inside.jpg", "outside.jpg", "shoes/b.jpg"]
    assert (spec.ignored, spec.linked_folders) == (4, folders)
    progress = ledger.batches.progress(spec.id)
    assert progress.spec.linked_folders == folders
    assert batch_resource(progress).linked_folders == [*folders]
    size = preview(new_spec(str(linked), str(tmp_path / "out2"), RECIPE))
    assert (size.photographs, size.ignored, size.linked_folders) == (4, 4, folders)
    with pytest.raises(PermanentError) as caught:
        open_store(spec.source).get("outside.jpg")
    assert caught.value.code is ErrorCode.LINK_OUTSIDE
    assert "link" in str(caught.value)


def test_a_source_of_linked_folders_alone_names_them(ledger, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "shelf").mkdir()
    (tmp_path / "in/spring").symlink_to(tmp_path / "shelf")
    with pytest.raises(PermanentError) as caught:
        register(ledger, str(tmp_path / "in"), str(tmp_path / "out"), RECIPE)
    assert caught.value.code is ErrorCode.NOTHING_TO_DO
    assert "not followed: spring. Submit" in caught.value.message


def test_names_that_are_not_unicode_do_not_stop_a_listing(
    ledger, tmp_path: Path, small_pages: None
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for number in range(45):
        (source / os.fsdecode(b"\xe9%02d.jpg" % number)).touch()
    (source / os.fsdecode(b"caf\xe9")).symlink_to(tmp_path)
    spec = new_spec(str(source), str(tmp_path / "out"), RECIPE)
    ledger.listings.begin(spec)
    ledger.listings.acquire(spec.id, "first")
    pages = iter([False, False, False, False, True])
    with pytest.raises(StoppedError):
        list_source(ledger, spec, "first", lambda: next(pages))
    ledger.listings.release(spec.id, "first")
    ledger.listings.acquire(spec.id, "second")
    complete = list_source(ledger, spec, "second")
    assert [writer for _, writer in complete.segment_writers] == ["first", "second"]
    assert (complete.total, ledger.batches.progress(spec.id).state) == (45, "open")
    assert complete.linked_folders == ("caf\\udce9",)


@pytest.mark.slow
def test_unreadable_rows_of_a_manifest_do_not_stop_the_others(ledger, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    rows = [f"{number}.jpg,7" for number in range(2500)]
    rows[0], rows[3], rows[2222] = "0.jpg,many", "3.jpg", "2222.jpg,7,more"
    manifest = tmp_path / "list.csv"
    manifest.write_text("\n".join(["key,size", *rows]))
    selection = Selection(manifest=str(manifest))
    folders = str(tmp_path / "in"), str(tmp_path / "out")
    spec = register(ledger, *folders, RECIPE, selection=selection)
    assert listed(spec) == sorted(f"{n}.jpg" for n in range(2500) if n not in {0, 3, 2222})
    unreadable = (
        "line 2: the size is not a number of bytes",
        "line 5: 1 fields instead of 2",
        "line 2,224: 3 fields instead of 2",
    )
    stored = ledger.batches.progress(spec.id)
    assert (stored.spec.total, stored.spec.unreadable) == (2497, 3)
    assert stored.spec.unreadable_rows == unreadable
    assert batch_resource(stored).unreadable_rows == [*unreadable]
    size = preview(new_spec(*folders, RECIPE, selection=selection))
    assert (size.photographs, size.unreadable, size.unreadable_rows) == (2497, 3, unreadable)


def test_a_file_without_any_readable_row_is_refused(ledger, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    manifest = tmp_path / "list.csv"
    manifest.write_text("key,size\n" + "a.jpg\n" * 12)
    with pytest.raises(PermanentError) as caught:
        register(
            ledger, str(tmp_path / "in"), str(tmp_path / "out"), RECIPE,
            selection=Selection(manifest=str(manifest)),
        )  # fmt: skip
    assert caught.value.code is ErrorCode.INVALID_MANIFEST
    assert "line 2: 1 fields instead of 2" in caught.value.message
    assert ledger.batches.ids() == []
