"""Pause, resume, cancel and retry act at once, and survive the death of any process."""

import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from support.catalogue import photograph
from support.drill import Drill
from support.services import until
from support.stand_in import mark

from contract.batch import BatchSpec
from contract.outcome import Outcome
from producer.dispatch.dispatcher import LEASE_SECONDS

AT_ONCE = 3
"""Seconds within which a verb must have taken effect."""
TAKEN_OVER = LEASE_SECONDS + 5
"""Seconds until another dispatcher works after one was killed."""


def load(drill: Drill, count: int) -> BatchSpec:
    """Start a slow batch: each child settles 20 images per second."""
    drill.fill(count)
    for number in range(count):
        mark(drill.key_path(number), "slow:0.05")
    spec = drill.submit()
    drill.cluster.start_dispatcher()
    drill.cluster.start_worker()
    drill.settled(spec, 10)
    return spec


def run_verb(drill: Drill, *arguments: str) -> str:
    answer = drill.cutout(*arguments)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def stands_still(drill: Drill, spec: BatchSpec, seconds: float) -> bool:
    before = drill.progress(spec)
    time.sleep(seconds)
    return before == drill.progress(spec) and before.state == "paused"


def report(drill: Drill, spec: BatchSpec) -> dict[str, tuple[str, str, str]]:
    """Return (status, code, attempts) by key; check that the report has one row per image."""
    rows = drill.cluster.report(spec)
    assert sorted(int(row["line"]) for row in rows) == list(range(spec.total))
    return {row["key"]: (row["status"], row["code"], row["attempts"]) for row in rows}


def codes(outcomes: dict[str, Outcome]) -> Counter[str]:
    return Counter(str(row.code or row.status) for row in outcomes.values())


def test_pause_and_resume_under_load(drill: Drill) -> None:
    count = drill.size(150, 2000)
    spec = load(drill, count)
    began = time.monotonic()
    run_verb(drill, "pause", spec.id)
    until(lambda: not drill.progress(spec).claimed, pause=0.02)
    pausing = time.monotonic() - began
    assert stands_still(drill, spec, 2)
    assert drill.progress(spec).stalled_reason.startswith("Paused by an operator")
    before = drill.progress(spec).settled
    began = time.monotonic()
    run_verb(drill, "resume", spec.id)
    drill.settled(spec, before + 1)
    resuming = time.monotonic() - began
    drill.closed(spec, 300)

    assert {row.attempts for row in drill.outcomes(spec).values()} == {1}
    injected = f"`pause` ({pausing:.1f} s) and `resume` ({resuming:.1f} s) under load"
    longest = max(pausing, resuming)
    assert drill.passed(spec, injected, AT_ONCE, longest)["done"] == count


@pytest.mark.long
def test_a_pause_outlives_dispatcher_and_redis(drill: Drill) -> None:
    count = drill.size(100, 1000)
    spec = load(drill, count)
    run_verb(drill, "pause", spec.id)
    until(lambda: not drill.progress(spec).claimed, pause=0.02)
    drill.cluster.kill("dispatcher")
    drill.cluster.start_dispatcher()
    assert stands_still(drill, spec, 2)  # Redis may lose a second, no more
    drill.cluster.redis.stop(signal.SIGKILL)
    drill.cluster.redis.start()
    assert stands_still(drill, spec, 3)
    assert drill.progress(spec).stalled_reason.startswith("Paused by an operator")
    before = drill.progress(spec).settled
    began = time.monotonic()
    run_verb(drill, "resume", spec.id)
    drill.settled(spec, before + 1)
    took = time.monotonic() - began
    drill.closed(spec, 300)

    injected = "paused; dispatcher and Redis SIGKILLed; from `resume` to the next image"
    assert drill.passed(spec, injected, TAKEN_OVER, took)["done"] == count


def test_cancel_under_load(drill: Drill) -> None:
    count = drill.size(150, 2000)
    spec = load(drill, count)
    began = time.monotonic()
    run_verb(drill, "cancel", spec.id)
    drill.closed(spec)
    took = time.monotonic() - began

    ends = codes(drill.outcomes(spec))
    assert set(ends) == {"done", "cancelled"}
    assert Counter(code or status for status, code, _ in report(drill, spec).values()) == ends
    written = {path.stem for path in drill.out.rglob("*.png")}
    assert written == {Path(row.key).stem for row in drill.outcomes(spec).values() if not row.code}
    for verb in ("pause", "resume", "cancel"):
        answer = drill.cutout(verb, spec.id)
        assert answer.returncode == 1
        assert "batch_conflict" in answer.stderr
    drill.passed(spec, f"`cancel` with {ends['cancelled']:,} images to go", AT_ONCE, took)

    cancelled = ends["cancelled"]
    assert run_verb(drill, "retry", spec.id, "--code", "cancelled") == (
        f"{cancelled:,} images will be retried.\n"
    )
    drill.closed(spec, 300)
    assert drill.audit(spec)["done"] == count


def test_a_cancellation_outlives_dispatcher_and_redis(drill: Drill) -> None:
    count = drill.size(150, 2000)
    spec = load(drill, count)
    drill.cluster.kill("dispatcher")
    run_verb(drill, "cancel", spec.id)
    time.sleep(1.5)  # Redis may lose a second
    drill.cluster.redis.stop(signal.SIGKILL)
    drill.cluster.redis.start()
    assert drill.progress(spec).state == "cancelling"
    began = time.monotonic()
    drill.cluster.start_dispatcher()
    drill.closed(spec)
    took = time.monotonic() - began

    assert set(codes(drill.outcomes(spec))) == {"done", "cancelled"}
    report(drill, spec)
    injected = "`cancel`; dispatcher and Redis SIGKILLed; from a new dispatcher's start"
    drill.passed(spec, injected, TAKEN_OVER, took)


def retried(drill: Drill, spec: BatchSpec, *arguments: str) -> tuple[str, dict[str, str]]:
    """Retry a closed batch; return what was printed, and the new codes of images that changed."""
    before = report(drill, spec)
    said = run_verb(drill, "retry", spec.id, *arguments)
    drill.closed(spec)
    after = report(drill, spec)
    return said, {key: code for key, (_, code, _) in after.items() if after[key] != before[key]}


def test_retry_reopens_exactly_what_is_requested(drill: Drill) -> None:
    sound = 20
    drill.fill(sound)
    missing, short = ["missing/0.jpg", "missing/1.jpg", "missing/2.jpg"], ["short.jpg"]
    for number, key in enumerate([*missing, *short, "twin.jpg", "twin.jpeg"]):
        photograph(drill.catalogue / key, number)
    whole = {key: (drill.catalogue / key).read_bytes() for key in [*missing, *short]}
    (drill.catalogue / "short.jpg").write_bytes(whole["short.jpg"][:2000])
    spec = drill.submit()
    for key in missing:
        (drill.catalogue / key).unlink()
    drill.cluster.start_dispatcher()
    drill.cluster.start_worker()
    drill.closed(spec)
    assert codes(drill.outcomes(spec)) == {
        "done": sound, "object_missing": 3, "truncated_image": 1, "duplicate_destination": 2,
    }  # fmt: skip
    for key, data in whole.items():
        (drill.catalogue / key).write_bytes(data)

    began = time.monotonic()
    said, changed = retried(drill, spec, "--code", "object_missing")
    took = time.monotonic() - began
    assert (said, changed) == ("3 images will be retried.\n", dict.fromkeys(missing, ""))
    said, changed = retried(drill, spec)
    assert (said, changed) == ("1 images will be retried.\n", {"short.jpg": ""})
    said, changed = retried(drill, spec)
    assert said.startswith("0 images will be retried.\nImages that failed with unsafe_key")
    assert changed == {}
    for code in ("duplicate_destination", "unsafe_key"):
        answer = drill.cutout("retry", spec.id, "--code", code)
        assert answer.returncode == 1
        assert "batch_conflict" in answer.stderr
    counts = drill.passed(spec, "`retry --code object_missing` of a closed batch", 10, took)
    assert (counts["done"], counts["failed"]) == (sound + 4, 2)


@pytest.mark.long
def test_a_poisoned_image_is_tried_again_if_its_code_is_named(drill: Drill) -> None:
    drill.fill(20)
    deadly, key = drill.key_path(5), drill.key(5)
    whole = deadly.read_bytes()
    mark(deadly, "segfault")
    spec = drill.submit()
    drill.cluster.env.update(CUTOUT_TIME_LIMIT="3", CUTOUT_VISIBILITY_TIMEOUT="5")
    drill.cluster.start_dispatcher()
    drill.cluster.start_worker()
    drill.cluster.start_quarantine()
    drill.closed(spec)
    assert codes(drill.outcomes(spec)) == {"done": 19, "poisoned": 1}
    said, changed = retried(drill, spec)
    assert said.startswith("0 images will be retried.\nImages that failed with unsafe_key")
    assert changed == {}

    began = time.monotonic()
    said, _ = retried(drill, spec, "--code", "poisoned")  # it still crashes
    took = time.monotonic() - began
    assert said == "1 images will be retried.\n"
    assert report(drill, spec)[key][:2] == ("failed", "poisoned")
    deadly.write_bytes(whole)
    assert retried(drill, spec, "--code", "poisoned")[1] == {key: ""}
    taken = [line for line in drill.cluster.log("worker").splitlines() if key in line]
    assert not any("image settled" in line for line in taken)  # only the quarantine worker runs it
    injected = "`retry --code poisoned` of an image that still kills"
    assert drill.passed(spec, injected, 30, took)["done"] == 20
