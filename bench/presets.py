"""Runs every preset over a folder of photographs, and verifies what was written.

usage: presets.py PHOTOGRAPHS [--enlarge FACTOR] [--model MODEL]

Prints for each preset how many photographs pass and how many are refused, by code. Exits with
status 1 if a file that was written fails its own verifier. `--enlarge` resizes the photographs
first, as if they came from a larger camera.
"""

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from PIL import Image

from contract.presets import PRESETS
from contract.recipe import MAX_RENDITIONS

CUTOUT = Path(sys.executable).with_name("cutout")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--enlarge", type=float, default=1)
    parser.add_argument("--model", default="u2net-int8")
    arguments = parser.parse_args()
    names, failed_files = iter(PRESETS), 0
    with tempfile.TemporaryDirectory() as folder:
        source = enlarged(arguments.photographs, Path(folder, "in"), arguments.enlarge)
        number = 0
        while group := [*islice(names, MAX_RENDITIONS)]:
            number += 1
            destination = Path(folder, f"out-{number}")
            run(source, destination, group, arguments.model)
            for name, counts in outcomes(destination, group).items():
                several = len(group) > 1
                wrong = failing([*destination.glob(f"*.{name}.*" if several else "*.*")], name)
                failed_files += len(wrong)
                shown = ", ".join(f"{count} {code}" for code, count in sorted(counts.items()))
                print(f"{name:16} {shown}" + (f"; FAIL VERIFY: {wrong}" if wrong else ""))
    sys.exit(bool(failed_files))


def enlarged(photographs: Path, folder: Path, factor: float) -> Path:
    """Return a folder of JPEGs, whose sides are `factor` times as long."""
    folder.mkdir()
    for path in sorted(photographs.glob("*.jpg")):
        with Image.open(path) as image:
            size = (round(image.width * factor), round(image.height * factor))
            image.resize(size, Image.Resampling.BICUBIC).save(folder / path.name, quality=95)
    return folder


def run(source: Path, destination: Path, presets: list[str], model: str) -> None:
    options = [text for name in presets for text in ("--preset", name)]
    command = [CUTOUT, "run", source, destination, "--model", model, *options]
    result = subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    assert result.returncode in {0, 3}, f"{command} ended with {result.returncode}"


def outcomes(destination: Path, presets: list[str]) -> dict[str, Counter[str]]:
    """Return for each preset how many of its files were written, and the codes of the others."""
    counts = {name: Counter[str]() for name in presets}
    for row in rows(destination):
        written = {output["name"] for output in row["outputs"]}
        refused = {failed["name"]: failed["code"] for failed in row["failed_renditions"]}
        for name in presets:
            is_written = name in written or (len(presets) == 1 and row["outputs"])
            counts[name]["pass" if is_written else refused.get(name) or row["code"]] += 1
    return counts


def rows(destination: Path) -> Iterator[dict]:
    for path in destination.glob("_cutout/*/report.jsonl.gz"):
        with gzip.open(path) as report:
            yield from map(json.loads, report)


def failing(files: list[Path], preset: str) -> list[str]:
    """Return the files that fail `cutout verify`."""
    if not files:
        return []
    command = [CUTOUT, "verify", "--preset", preset, "--format", "json", *files]
    result = subprocess.run(command, check=False, stdout=subprocess.PIPE)
    verdicts = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(verdicts) == len(files)
    return [verdict["file"] for verdict in verdicts if not verdict["passed"]]


if __name__ == "__main__":
    main()
