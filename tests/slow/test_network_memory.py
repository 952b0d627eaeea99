"""What a network's run adds to a process's memory: the largest part of a worker child."""

import os
import subprocess
import sys
from pathlib import Path

MAX_MB = 235
"""With tensors in one region, `u2netp` adds 220 MB; with ONNX Runtime's defaults 290 MB."""

RUN = """
import sys
from pathlib import Path
import numpy as np
from worker.models.network import open_network
from worker.models.registry import find

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1e3

model = find(sys.argv[1])
network = open_network(model, Path(sys.argv[2], model.file), ("cpu",), 1)
before = peak()
network.run(np.zeros((1, 3, model.side, model.side), np.float32))
print(peak() - before)
"""


def test_a_run_adds_little_memory(weights: Path):
    command = [sys.executable, "-c", RUN, "u2netp", weights]
    run = subprocess.run(command, env=os.environ, check=True, capture_output=True, text=True)
    assert float(run.stdout) < MAX_MB
