import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_onnx_runtime_reports_to_nobody_and_leaves_no_file(tmp_path: Path):
    """Its telemetry keeps a session file in TMPDIR and a device ID below HOME."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("ORT_")}
    subprocess.run(
        [sys.executable, "-c", "import worker.models.session, worker.models.int8.calibrate"],
        env={**environment, "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}, check=True,
    )  # fmt: skip
    assert list(tmp_path.iterdir()) == []
