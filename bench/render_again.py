"""What rendering again from a kept matte costs, compared with the first run: without storage.

usage: render_again.py [--models u2net-int8,u2netp-int8] [--photographs 6] [--megapixels 4]

The first run decodes, infers, refines, encodes a rendition and the matte; the second decodes the
photograph and the matte and encodes the same rendition. Both take turns at each photograph, so a
slow phase of the machine slows both. CPU time of one process.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from bare_pipeline import load_session
from photographs import photographs as make_photographs

from contract.job import ImageJob, ManifestLine
from contract.recipe import MATTE, Recipe
from contract.rendition import Rendition
from worker.attempt import Attempt
from worker.encoding import encode_all
from worker.imaging.cutout import compose
from worker.imaging.decode import Limits, decode
from worker.kept_matte import decode_matte
from worker.models.session import Session
from worker.runtime import keep_freed_memory, use_one_blas_thread
from worker.store import ClaimTimer

RENDITIONS = {
    "alpha PNG": Rendition(),
    "white JPEG": Rendition(format="jpg"),
    "800-pixel WebP": Rendition(format="webp", max_side=800),
}
TARGET = 4
"""How many times as fast as the first run rendering again should be."""


def made(session: Session, data: bytes, recipe: Recipe, kept: bytes | None) -> bytes:
    """Do what a worker does between fetch and store; return the matte's file, if it is made."""
    job = ImageJob(
        batch="b-20260101-000000-000000", line=0, source="file:///in", destination="file:///out",
        recipe=recipe, photograph=ManifestLine(key="a.jpg", size=1, etag=""),
    )  # fmt: skip
    attempt = Attempt(job, 1, "", "", float("inf"), ClaimTimer(60, lambda: True))
    photograph = decode(data, Limits())
    matte = decode_matte(kept, photograph.size, ())
    missing = recipe.renditions if matte else recipe.outputs
    matte = matte or session.matte(photograph.shown(), recipe.quality)
    cutout = compose(photograph, matte.alpha, decontaminate=recipe.quality.decontaminate)
    files = {file.rendition: file.data for file in encode_all(cutout, missing, None, attempt)}
    return files.get(MATTE, b"")


def measure(session: Session, rendition: Rendition, photographs: list[bytes]) -> tuple[float, ...]:
    """Return the median milliseconds of the first run and of the second, and their median ratio."""
    recipe = Recipe(model=session.model.name, renditions=(rendition,), keep_matte=True)
    rows = []
    for number, data in enumerate([photographs[0], *photographs]):
        start = time.process_time()
        kept = made(session, data, recipe, None)
        first = time.process_time()
        made(session, data, recipe, kept)
        if number:  # the first is the warm-up
            rows.append((first - start, time.process_time() - first))
    first, again = (1000 * statistics.median(column) for column in zip(*rows, strict=True))
    return first, again, statistics.median(row[0] / row[1] for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="u2net-int8,u2netp-int8")
    parser.add_argument("--photographs", type=int, default=6)
    parser.add_argument("--megapixels", type=float, default=4)
    options = parser.parse_args()
    keep_freed_memory()
    use_one_blas_thread()
    with tempfile.TemporaryDirectory() as folder:
        paths = make_photographs(
            Path("samples"), Path(folder), options.megapixels, options.photographs
        )
        photographs = [path.read_bytes() for path in paths]
    for model in options.models.split(","):
        session = load_session(model)
        print(f"{model}, {options.megapixels:g} MP, default quality: first run; from kept matte")
        for name, rendition in RENDITIONS.items():
            first, again, ratio = measure(session, rendition, photographs)
            print(
                f"  {name}: {first:,.0f} ms; {again:,.0f} ms: {ratio:.1f} times as fast"
                f" (at least {TARGET})",
                flush=True,
            )


if __name__ == "__main__":
    main()
