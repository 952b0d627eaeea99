"""The stages of one image in a worker: its rendition, its metadata, and its CPU slot."""

import hashlib
from types import SimpleNamespace

import pytest
from PIL import Image
from support.forked import LONG, can_acquire, held

from contract.errors import ErrorCode, PermanentError
from contract.job import ImageJob, ManifestLine
from contract.outcome import Outcome, Status
from contract.policy import Policy
from contract.presets import PRESETS
from contract.quality import Quality
from contract.recipe import Recipe
from contract.rendition import Rendition
from contract.storage import open_store
from worker import tasks
from worker.attempt import Attempt
from worker.cpu.slots import CpuSlots
from worker.foreign import ForeignJob
from worker.imaging.decode import Limits
from worker.imaging.matting import Matte
from worker.process import _cut_out
from worker.store import ClaimTimer

CPU_SLOTS = CpuSlots(1)
FAILING_NO_SUBJECT = Policy(no_subject="fail")
FAILING_ALL = Policy(no_subject="fail", ambiguous_subject="fail", subject_cut_by_frame="fail")


@pytest.fixture
def run_with(tmp_path):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (60, 40), "red").save(tmp_path / "in" / "a.png")

    def run(
        alpha: int = 255,
        output: str = "",
        meanwhile=lambda: None,
        time_limit=4,
        doubts=(),
        policy=FAILING_NO_SUBJECT,
        **fields,
    ):
        def matte(rgb: Image.Image, _quality: Quality) -> Matte:
            meanwhile()
            matte = Image.new("L", rgb.size, 0)
            matte.paste(alpha, (10, 10, 30, 20))
            return Matte(matte, doubts)

        job = ImageJob(
            batch="b-20260101-000000-abcdef", line=0, source=(tmp_path / "in").as_uri(),
            destination=(tmp_path / "out").as_uri(),
            photograph=ManifestLine(key="a.png", size=1, etag="e"),
            recipe=Recipe(model="u2netp", policy=policy, renditions=(Rendition(**fields),)),
            destination_key=output, interactive=bool(output),
        )  # fmt: skip
        runtime = SimpleNamespace(
            config=SimpleNamespace(max_bytes=1 << 20, time_limit=time_limit), limits=Limits(),
            session=SimpleNamespace(
                matte=matte, sha256=hashlib.sha256().hexdigest(), provider=""
            ),
            cpu_slots=CPU_SLOTS,
        )  # fmt: skip
        timer = ClaimTimer(60, lambda: True)
        attempt = Attempt(job, 1, "token", "worker", float("inf"), timer)
        return job, _cut_out(job, job.recipe.renditions, attempt, runtime)

    return run


@pytest.mark.parametrize(
    ("fields", "name", "format_", "mode", "size"),
    [
        ({}, "a.png", "PNG", "RGBA", (60, 40)),
        ({"format": "jpg"}, "a.jpg", "JPEG", "RGB", (60, 40)),
        ({"channels": "alpha", "crop": True}, "a.png", "PNG", "L", (20, 10)),
        ({"crop": True, "crop_margin": ("50%",) * 4}, "a.png", "PNG", "RGBA", (40, 20)),
    ],
)  # fmt: skip
def test_the_output_is_the_rendition_of_the_recipe(
    run_with, tmp_path, fields, name, format_, mode, size
):
    job, outcome = run_with(**fields)
    [output] = outcome.outputs
    assert output.key == name == job.output_key(*job.recipe.renditions)
    assert (outcome.width, outcome.height) == size
    assert outcome.foreground == pytest.approx(200 / 2400, abs=1e-4)
    assert "encode" in outcome.milliseconds
    with Image.open(tmp_path / "out" / name) as image:
        assert (image.format, image.mode, image.size) == (format_, mode, size)
    head = open_store(job.destination).head(name)
    assert head.metadata["recipe"] == job.recipe.digest_of(*job.recipe.renditions)


def test_an_output_that_fulfils_its_preset_says_so(run_with):
    _, outcome = run_with(format="jpg", verify="white")
    assert [output.preset for output in outcome.outputs] == ["white"]
    assert [output.preset for output in run_with()[1].outputs] == [""]


def test_an_output_that_fails_its_preset_is_not_written(run_with, tmp_path):
    with pytest.raises(PermanentError) as caught:
        run_with(**PRESETS["amazon-main"].rendition.model_dump())
    assert caught.value.code is ErrorCode.PRESET_FAILED
    assert "longest_side 22 px (required: 1,000 to 10,000 px)" in caught.value.message
    assert not [*(tmp_path / "out").rglob("*.jpg")]


def test_an_image_is_computed_in_a_cpu_slot_and_stored_after_its_release(run_with):
    during: list[bool] = []
    _, outcome = run_with(meanwhile=lambda: during.append(can_acquire(CPU_SLOTS)))
    assert (outcome.status, during, can_acquire(CPU_SLOTS)) == (Status.DONE, [False], True)


def test_an_image_waits_for_a_slot_up_to_a_limit_then_runs_without(run_with):
    with held(CPU_SLOTS):
        _, outcome = run_with()
    assert (outcome.status, outcome.milliseconds["wait"] >= 100) == (Status.DONE, True)


def test_a_cutout_does_not_wait_for_a_slot(run_with):
    with held(CPU_SLOTS):
        _, outcome = run_with(output="made/a.png", time_limit=40 * LONG)
    assert (outcome.status, outcome.milliseconds["wait"] < 500 * LONG) == (Status.DONE, True)


def test_a_crop_without_subject_is_a_permanent_error(run_with):
    with pytest.raises(PermanentError) as caught:
        run_with(alpha=0, crop=True)
    assert caught.value.code is ErrorCode.NO_SUBJECT
    assert run_with(alpha=0)[1].foreground == 0


@pytest.mark.parametrize(
    ("recipe", "accepted"),
    [
        (Recipe(model="u2netp"), True),
        (Recipe(model="u2netp", renditions=(Rendition(format="jpg", crop=True),)), True),
        (Recipe(model="u2net"), False),
        (Recipe(model="u2netp", pipeline=1), False),
    ],
)
def test_a_worker_accepts_any_rendition_of_its_own_model_and_pipeline(
    monkeypatch, recipe: Recipe, accepted: bool
):
    done = Outcome(line=0, key="a.png", status=Status.DONE)
    config = SimpleNamespace(model="u2netp")
    monkeypatch.setattr(tasks, "runtime", lambda: SimpleNamespace(config=config, worker="w@host"))
    meters = SimpleNamespace(publish=lambda: None)
    monkeypatch.setattr(tasks, "plan", lambda: SimpleNamespace(meters=meters))
    processed: list[ImageJob | ForeignJob] = []
    monkeypatch.setattr(tasks, "process", lambda job, _: processed.append(job) or done)
    monkeypatch.setattr(tasks, "setproctitle", lambda _: None)
    job = ImageJob(
        batch="b-20260101-000000-abcdef", line=0, source="file:///in", destination="file:///out",
        photograph=ManifestLine(key="a.png", size=1, etag="e"), recipe=recipe,
    )  # fmt: skip
    tasks.cut(job.model_dump(mode="json"))
    assert [type(job) for job in processed] == [ImageJob if accepted else ForeignJob]


def test_the_outcome_of_a_cutout_names_the_subjects_box(run_with):
    _, cutout = run_with(output="b.png", crop=True)
    assert cutout.subject == (10, 10, 30, 20)  # in the photograph, whatever the output shows of it
    assert run_with(output="c.png", alpha=0)[1].subject is None


def test_the_report_row_of_a_batch_has_no_subject_box(run_with):
    _, outcome = run_with()
    assert "subject" not in outcome.model_dump_json()


AMBIGUOUS, CUT, NONE = (
    ErrorCode.AMBIGUOUS_SUBJECT, ErrorCode.SUBJECT_CUT_BY_FRAME, ErrorCode.NO_SUBJECT
)  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "doubts", "failed"),
    [
        (FAILING_NO_SUBJECT, (NONE,), NONE),
        (FAILING_NO_SUBJECT, (AMBIGUOUS, CUT), None),
        (FAILING_ALL, (NONE,), NONE),
        (FAILING_ALL, (AMBIGUOUS, CUT), AMBIGUOUS),
        (FAILING_ALL, (CUT,), CUT),
        (FAILING_ALL, (), None),
        (Policy(subject_cut_by_frame="fail"), (AMBIGUOUS, CUT), CUT),
        (Policy(ambiguous_subject="review", subject_cut_by_frame="fail"), (AMBIGUOUS, CUT), CUT),
        (Policy(), (NONE,), None),
        (Policy(), (AMBIGUOUS, CUT), None),
    ],
)
def test_the_recipe_decides_which_doubts_fail_a_photograph(
    run_with, tmp_path, policy, doubts, failed
):
    if failed:
        with pytest.raises(PermanentError) as caught:
            run_with(policy=policy, doubts=doubts)
        assert caught.value.code is failed
        assert not (tmp_path / "out" / "a.png").exists()
    else:
        assert run_with(policy=policy, doubts=doubts)[1].doubts == list(doubts)


def test_a_refused_photograph_gives_its_cpu_slot_back(run_with):
    with pytest.raises(PermanentError):
        run_with(doubts=(NONE,))
    assert can_acquire(CPU_SLOTS)
