"""What three renditions cost, compared with one: decode, matte and encoding, without storage.

usage: renditions.py [--model u2net-int8] [--photographs 8] [--megapixels 4]

One and three take turns at each photograph, so a slow phase of the machine slows both. CPU time of
one process.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bare_pipeline import load_session
from photographs import photographs as make_photographs

from contract.job import ImageJob, ManifestLine
from contract.quality import Quality
from contract.recipe import Recipe
from contract.rendition import Rendition
from worker.attempt import Attempt
from worker.encoding import encode_all
from worker.imaging.cutout import compose
from worker.imaging.decode import Limits, decode
from worker.models.session import Session
from worker.runtime import keep_freed_memory, use_one_blas_thread
from worker.store import ClaimTimer

ALPHA = Rendition(name="alpha")
WHITE = Rendition(name="white", format="jpg", background="#ffffff")
THUMB = Rendition(name="thumb", format="webp", max_side=800)
QUALITIES = {"default": Quality(), "refine none, one pass": Quality(refine="none", passes=1)}
TARGET = 1.35
"""Most that three renditions may cost, as a multiple of one."""


def work(session: Session, recipe: Recipe) -> Callable[[bytes], None]:
    """Return what a worker does between fetch and store."""

    def make(data: bytes) -> None:
        job = ImageJob(
            batch="b-20260101-000000-000000", line=0, source="file:///in",
            destination="file:///out", recipe=recipe,
            photograph=ManifestLine(key="a.jpg", size=1, etag=""),
        )  # fmt: skip
        attempt = Attempt(job, 1, "", "", float("inf"), ClaimTimer(60, lambda: True))
        photograph = decode(data, Limits())
        matte = session.matte(photograph.shown(), recipe.quality)
        cutout = compose(photograph, matte.alpha, decontaminate=recipe.quality.decontaminate)
        files = encode_all(cutout, recipe.renditions, None, attempt)
        assert len(files) == len(recipe.renditions)

    return make


def measure(session: Session, quality: Quality, photographs: list[bytes]) -> tuple[float, ...]:
    """Return the median CPU milliseconds of one and of three renditions, and their median ratio."""
    works = [
        work(session, Recipe(model=session.model.name, quality=quality, renditions=renditions))
        for renditions in ((ALPHA,), (ALPHA, WHITE, THUMB))
    ]
    rows = []
    for number, data in enumerate([photographs[0], *photographs]):
        row = []
        for make in works:
            start = time.process_time()
            make(data)
            row.append(1000 * (time.process_time() - start))
        if number:  # the first is the warm-up
            rows.append(row)
    one, three = (statistics.median(column) for column in zip(*rows, strict=True))
    return one, three, statistics.median(row[1] / row[0] for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="u2net-int8")
    parser.add_argument("--photographs", type=int, default=8)
    parser.add_argument("--megapixels", type=float, default=4)
    options = parser.parse_args()
    keep_freed_memory()
    use_one_blas_thread()
    session = load_session(options.model)
    with tempfile.TemporaryDirectory() as folder:
        paths = make_photographs(
            Path("samples"), Path(folder), options.megapixels, options.photographs
        )
        photographs = [path.read_bytes() for path in paths]
    print(f"{options.model}, {options.megapixels:g} MP: alpha PNG; and white JPEG, 800-pixel WebP")
    for name, quality in QUALITIES.items():
        one, three, ratio = measure(session, quality, photographs)
        print(
            f"  quality {name}: one {one:,.0f} ms, three {three:,.0f} ms: {ratio:.2f} times"
            f" (at most {TARGET})"
        )


if __name__ == "__main__":
    main()
