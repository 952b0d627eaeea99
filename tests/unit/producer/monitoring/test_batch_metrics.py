from dataclasses import replace
from datetime import UTC, datetime

from contract.batch import BatchSpec, Progress
from contract.cutout import CutoutSpec
from contract.job import ManifestLine
from contract.recipe import Recipe
from contract.schedule import Schedule
from producer.monitoring.batch_metrics import MAX_BATCHES, batch_metrics

NOW = 1_800_000_000.0


def progress(number: int = 0, **fields) -> Progress:
    spec = BatchSpec(
        id=f"b-20260101-000000-{number:06x}", source="file:///in", destination="file:///out",
        recipe=Recipe(model="u2netp"), created=1000 + number, total=100, segment_lines=100,
        **{name: fields.pop(name) for name in ("schedule", "cutout") if name in fields},
    )  # fmt: skip
    values = {
        "state": "open", "done": 30, "skipped": 4, "failed": 6, "issued": 20, "quarantined": 1,
        "claimed": 3, "deferred": 2, "duplicates": 5, "epoch": 0, "closed": None,
        "stalled_reason": "", "retry_at": None, "eta": None,
    }  # fmt: skip
    return Progress(spec=spec, **{**values, **fields})


def samples(*batches: Progress) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in batch_metrics(batches, NOW)
        for sample in family.samples
    }


def test_a_batch_exports_its_counts_and_state():
    batch = progress().spec.id
    exported = samples(progress())
    assert exported["cutout_batch_remaining", batch] == 60
    assert exported["cutout_batch_duplicates", batch] == 5
    assert exported["cutout_batch_state", batch, "open"] == 1
    assert exported["cutout_open_batches", "open"] == 1
    assert exported["cutout_open_batches", "paused"] == 0
    assert not any(key[0] in {"cutout_batch_stalled", "cutout_batch_images_per_second"}
                   for key in exported)  # fmt: skip


def test_the_speed_is_what_the_estimated_end_assumes():
    batch = progress().spec.id
    exported = samples(progress(eta=NOW + 30))
    assert exported["cutout_batch_images_per_second", batch] == 2
    assert exported["cutout_batch_eta_timestamp_seconds", batch] == NOW + 30


def test_the_deadline_is_exported():
    end = datetime(2100, 1, 1, tzinfo=UTC)
    batch = progress(schedule=Schedule(deadline=end))
    assert (
        samples(batch)["cutout_batch_deadline_timestamp_seconds", batch.spec.id] == end.timestamp()
    )


def test_why_a_batch_is_stalled_is_one_word():
    tripped = "24 of the last 30 attempts failed with access_denied. `cutout resume` continues it."
    batch = progress(state="paused", stalled_reason=tripped)
    assert samples(batch)["cutout_batch_stalled", batch.spec.id, "breaker"] == 1


def test_cutouts_have_no_series_of_their_own():
    photograph = ManifestLine(key="a.jpg", size=1, etag="e")
    one = progress(cutout=CutoutSpec(photograph=photograph, destination_key="a.png"))
    assert {key[0] for key in samples(one)} == {"cutout_open_batches"}
    assert set(samples(one).values()) == {0}


def test_the_number_of_series_is_bounded():
    urgent = progress(MAX_BATCHES + 7, schedule=Schedule(priority=5))
    many = [progress(number) for number in range(MAX_BATCHES + 5)]
    exported = samples(*many, urgent)
    shown = {key[1] for key in exported if key[0] == "cutout_batch_total"}
    assert len(shown) == MAX_BATCHES
    assert urgent.spec.id in shown
    assert many[0].spec.id in shown  # the oldest
    assert many[-1].spec.id not in shown
    assert exported["cutout_open_batches", "open"] == MAX_BATCHES + 6  # all are counted


def test_a_batch_whose_counters_change_meanwhile_exports_no_negative_speed():
    batch = replace(progress(eta=NOW - 100), done=100, skipped=0, failed=0)
    assert samples(batch)["cutout_batch_images_per_second", batch.spec.id] == 0
