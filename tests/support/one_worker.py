"""A worker without processes: a ledger in memory, folders, and a stand-in for the network."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from PIL import Image

from contract.batch import BatchSpec, Progress
from contract.cutout import CutoutSpec
from contract.job import ImageJob, ManifestLine
from contract.ledger import ClaimRefused
from contract.ledger.memory import MemoryLedger
from contract.outcome import Outcome
from contract.quality import Quality
from contract.recipe import Recipe
from contract.rendition import Rendition
from contract.settings import Settings
from worker import encoding
from worker.cpu.slots import CpuSlots
from worker.imaging.decode import Limits
from worker.imaging.encode import encode
from worker.imaging.matting import Matte
from worker.imaging.render import Picture
from worker.process import process
from worker.runtime import Runtime

BATCH = "b-20260101-000000-aaaaaa"
OTHER_BATCH = "b-20260101-000000-bbbbbb"
CUTOUT = "c-20260101-000000-aaaaaa"
CPU_SLOTS = CpuSlots(1)


@dataclass
class StandInModel:
    """Calls a rectangle the subject, after doing what the test says."""

    sha256: str = "0" * 64
    provider: str = ""
    meanwhile: Callable[[], object] = lambda: None
    subject: bool = True
    runs: int = 0

    def matte(self, rgb: Image.Image, _quality: Quality) -> Matte:
        self.runs += 1
        self.meanwhile()
        matte = Image.new("L", rgb.size, 0)
        matte.paste(255 if self.subject else 0, (10, 10, 30, 20))
        return Matte(matte)


@dataclass
class Worker:
    """A worker with one photograph to process, `a.png` of 60 x 40 pixels."""

    folder: Path
    clock: float = 1000.0
    model: StandInModel = field(default_factory=StandInModel)

    def __post_init__(self) -> None:
        self.ledger = MemoryLedger(clock=lambda: self.clock)
        self.config = Settings(
            time_limit=60, visibility_timeout=120, retry_budget=1, max_bytes=100_000
        )
        self.runtime = Runtime(
            self.config, self.ledger, self.model, Limits(pixels=10_000), CPU_SLOTS,
            quarantine=False, token_prefix="worker-1:", worker="w@host",
        )  # fmt: skip
        self.source.mkdir()
        Image.new("RGB", (60, 40), "red").save(self.source / "a.png")
        self.job = self.open()

    @property
    def source(self) -> Path:
        return self.folder / "in"

    @property
    def output(self) -> Path:
        return self.folder / "out" / self.job.output_key(self.job.recipe.renditions[0])

    def open(self, batch: str = BATCH, **fields) -> ImageJob:
        """Open a batch of one line and return its job."""
        etag = fields.pop("etag", "unknown")
        photograph = ManifestLine(key=fields.pop("key", "a.png"), size=1, etag=etag)
        key = fields.get("destination_key", "")
        job = ImageJob(
            batch=batch, line=0, photograph=photograph,
            source=self.source.as_uri(), destination=(self.folder / "out").as_uri(),
            recipe=fields.pop("recipe", Recipe(model="u2netp")), **fields,
        )  # fmt: skip
        cutout = CutoutSpec(photograph=photograph, destination_key=key) if key else None
        self.ledger.batches.register(
            BatchSpec(
                id=batch, source=job.source, destination=job.destination, recipe=job.recipe,
                created=self.clock, total=1, segment_lines=1, cutout=cutout,
            )
        )  # fmt: skip
        self.ledger.batches.open(batch)
        return job

    def configure(self, **fields) -> None:
        self.config = Settings(**self.config.model_dump() | fields)
        self.runtime = replace(self.runtime, config=self.config)

    def crash(self, times: int, cause: str = "", *, quarantine: bool = True) -> None:
        """Let the line's process die, as `cause` if a worker saw it."""
        for number in range(times):
            token = f"dead-{number}:x"
            lines = self.ledger.lines
            lines.claim(self.job.batch, 0, token, 60, quarantine=quarantine)
            if cause:
                lines.record_crash(self.job.batch, 0, token, cause)
            self.clock += 61

    def process(self) -> Outcome | ClaimRefused:
        return process(self.job, self.runtime)

    @property
    def progress(self) -> Progress:
        return self.ledger.batches.progress(self.job.batch)

    @property
    def recent_results(self) -> list[str]:
        return [result.code for result in self.ledger.batches.recent_results(self.job.batch)]


def keys(outcome: Outcome) -> list[str]:
    """Return the keys of an outcome's outputs."""
    return [output.key for output in outcome.outputs]


def raising(error: BaseException) -> Callable[..., object]:
    def fail(*_, **__):
        raise error

    return fail


def fail_rendition(monkeypatch: pytest.MonkeyPatch, name: str, error: Exception) -> None:
    """Let the encoding of one rendition fail."""

    def encode_or_fail(
        picture: Picture, rendition: Rendition, backdrop: Image.Image | None
    ) -> bytes:
        if rendition.name == name:
            raise error
        return encode(picture, rendition, backdrop)

    monkeypatch.setattr(encoding, "encode", encode_or_fail)
