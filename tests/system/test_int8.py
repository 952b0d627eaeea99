"""An INT8 model gives nearly the same cut-outs as its float model."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.catalogue import report_rows
from support.commands import cutout
from support.paths import SAMPLES

PHOTOGRAPHS = sorted(SAMPLES.glob("*.jpg"))


@pytest.mark.long
def test_the_samples_come_out_nearly_as_in_float(weights: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"  # without the INT8 file: the run builds it
    models.mkdir()
    (models / "u2netp.onnx").symlink_to(weights / "u2netp.onnx")
    masks: dict[str, list[np.ndarray]] = {}
    for model in ("u2netp", "u2netp-int8"):
        out = tmp_path / model

        answer = cutout(
            "run", SAMPLES, out, "--model", model, "--refine", "none", "--passes", "1",
            CUTOUT_MODEL_DIR=str(models),
        )  # fmt: skip

        assert answer.returncode == 0, answer.stderr
        (report,) = out.glob("_cutout/*/report.csv")
        rows = report_rows(report.read_text())
        assert sorted(row["key"] for row in rows) == [path.name for path in PHOTOGRAPHS]
        assert {row["status"] for row in rows} == {"done"}
        for path in PHOTOGRAPHS:
            with Image.open(path) as source, Image.open(out / f"{path.stem}.png") as result:
                assert (result.mode, result.size) == ("RGBA", source.size)
                masks.setdefault(path.name, []).append(np.asarray(result.getchannel("A")) > 127)
    # on average: the thin rocket and the faint cat are at 0.91 and 0.946
    agreement = [(a & b).sum() / (a | b).sum() for a, b in masks.values()]
    assert np.mean(agreement) >= 0.95, dict(zip(masks, agreement, strict=True))
