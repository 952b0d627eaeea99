"""Photographs as old cameras, scanners and shops leave them, through `cutout run` and `audit`."""

import signal
import subprocess
from pathlib import Path

from PIL import Image
from support.catalogue import report_rows
from support.commands import CUTOUT, addresses_of, cutout
from support.odd_photographs import (
    MEAN_TOLERANCE,
    SIZE,
    coffee,
    hidden,
    mean_difference,
    readable,
    refused,
)

HEIC = Path(__file__).parents[1] / "unit/worker/imaging/files/picture.heic"


def test_odd_photographs_are_read_right_or_refused_by_name(
    catalogue: Path, weights: Path, tmp_path: Path
) -> None:
    picture = coffee()
    right, wrong = readable(picture), refused(picture)
    hiding = {f"hidden-{colour}.png": hidden(picture, colour) for colour in ("black", "lime")}
    files = {name: odd.data for name, odd in right.items()} | hiding
    files |= {name: data for name, (data, _) in wrong.items()}
    for name, data in (files | {"phone.heic": HEIC.read_bytes()}).items():
        (catalogue / name).write_bytes(data)
    out = tmp_path / "out"

    ended = cutout("run", catalogue, out)

    assert f"{len(right) + len(hiding) + 1} done, 0 skipped, {len(wrong)} failed" in ended.stderr
    (report,) = out.glob("_cutout/b-*/report.csv")
    rows = {row["key"]: row for row in report_rows(report.read_text())}
    assert {key: row["code"] for key, row in rows.items() if row["code"]} == {
        name: code for name, (_, code) in wrong.items()
    }
    for name, odd in right.items():
        with Image.open(out / rows[name]["outputs"]) as output:
            assert (output.mode, output.size) == ("RGBA", SIZE), name
            assert mean_difference(output, odd.shown) < MEAN_TOLERANCE, name
    first, second = (out / rows[name]["outputs"] for name in hiding)
    assert first.read_bytes() == second.read_bytes()
    assert_audit_is_clean(report.parent.name, out)


def assert_audit_is_clean(batch: str, out: Path) -> None:
    """Audit a batch in a new stack. If that does not know the batch, it is rebuilt first."""
    stack = subprocess.Popen([CUTOUT, "up"], stderr=subprocess.PIPE, text=True)
    try:
        _, redis = addresses_of(stack)
        rebuilt = cutout("rebuild", batch, out, CUTOUT_REDIS_URL=redis)
        audit = cutout("audit", batch, CUTOUT_REDIS_URL=redis)
        assert audit.returncode == 0, rebuilt.stderr + audit.stdout + audit.stderr
    finally:
        stack.send_signal(signal.SIGINT)
        stack.wait(60)
