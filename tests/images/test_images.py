"""Every service of docker-compose.yml in its own image: closed in as the compose file says.

`make prove-images` builds the images and runs this in a network of its own, as root.
"""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from image_sandbox import Sandboxed
from support.compose import compose, example
from support.compose_services import ALL_DONE, cut_out_the_samples, stop_cleanly
from support.paths import ROOT
from support.services import missing

IMAGES = ROOT / ".images"


@pytest.fixture
def sandboxed(tmp_path: Path, weights: Path, monkeypatch) -> Iterator[Sandboxed]:
    """The compose file's services in the built images, with the weights in the object store."""
    if not IMAGES.exists():
        missing("the images are not built: run `make prove-images`")
    bucket = example()["STORE_BUCKET"]
    model = example()["CUTOUT_MODEL"].removesuffix("-int8")  # the INT8 model is built from it
    source = tmp_path / "store" / bucket / "weights"
    source.mkdir(parents=True)
    shutil.copy(weights / f"{model}.onnx", source)
    location = f"s3://{bucket}/weights"
    monkeypatch.setitem(compose()["weights"]["environment"], "CUTOUT_MODEL_SOURCE", location)
    services = Sandboxed(tmp_path, images=IMAGES)
    with ExitStack() as cleanup:
        cleanup.enter_context(services.object_store(tmp_path / "store"))
        cleanup.callback(services.kill)
        yield services


@pytest.mark.long
def test_the_images_cut_out_the_samples(sandboxed: Sandboxed):
    assert cut_out_the_samples(sandboxed) == ALL_DONE
    for name, process in sandboxed.running:
        main = sandboxed.main_process(process)
        for one in (main, *main.children(recursive=True)):
            check_confined(one, sandboxed.users(name))
    assert stop_cleanly(sandboxed)


def check_confined(process: psutil.Process, user: tuple[int, int]) -> None:
    """Check that a process has the image's user, no capability and no way to write its root."""
    folder = Path(f"/proc/{process.pid}")
    status = dict(row.split(":\t", 1) for row in (folder / "status").read_text().splitlines())
    uid, gid = (set(map(int, status[name].split())) for name in ("Uid", "Gid"))
    assert (uid, gid) == ({user[0]}, {user[1]})
    assert 0 not in user
    assert status["NoNewPrivs"] == "1"
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0
    mounts = [row.split() for row in (folder / "mountinfo").read_text().splitlines()]
    root = next(row for row in mounts if row[4] == "/")
    assert "ro" in root[5].split(",")
