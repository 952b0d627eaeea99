"""Damaged photographs, the same ones every time, decoded in processes whose memory is measured."""

import json
import os
import resource
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile
from PIL import Image

from contract.errors import CutoutError, ErrorCode
from support.images import SRGB, encoded, exif
from worker.imaging.decode import Limits, decode

WIDTH, HEIGHT = 1200, 1000
LIMITS = Limits(pixels=WIDTH * HEIGHT)
"""A file that declares more is refused, so each mutation has at most the size of a legal file."""
MAX_GROWTH = 1 << 30
"""Bytes by which a process may grow before `malloc` fails."""
HEADER = 400
KIB = 1024


class Decoded(NamedTuple):
    """How a file ended, in a process of its own."""

    code: str
    """of the error; empty if decoded; `died` with the process"""
    growth: int
    """bytes of memory at the peak, beyond those of before"""


def photograph(mode: str = "RGB") -> Image.Image:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    values = np.stack([x // 5, y // 4, (x + y) // 9, 255 - x // 6], -1).astype(np.uint8)
    image = Image.fromarray(values)
    return image if mode == "RGBA" else image.convert("RGB").convert(mode)


def tiff(values: np.ndarray, **options) -> bytes:
    from io import BytesIO

    buffer = BytesIO()
    tifffile.imwrite(buffer, values, metadata=None, **options)
    return buffer.getvalue()


def specimens() -> dict[str, bytes]:
    """A sound file of each format and of the main layouts within it."""
    rgb, rgba = photograph(), photograph("RGBA")
    deep = np.asarray(rgb).astype(np.uint16) * 257
    cmyk = np.dstack([np.asarray(photograph("CMYK")), np.asarray(rgba)[..., 3]])
    heic = Path(__file__).parents[1] / "unit/worker/imaging/files/picture.heic"
    return {
        "jpeg": encoded(rgb, "JPEG", exif=exif(6), icc_profile=SRGB),
        "progressive jpeg": encoded(rgb, "JPEG", progressive=True),
        "cmyk jpeg": encoded(photograph("CMYK"), "JPEG"),
        "png": encoded(rgba, "PNG", icc_profile=SRGB, exif=exif(3)),
        "palette png": encoded(photograph("P"), "PNG", transparency=3),
        "webp": encoded(rgba, "WEBP"),
        "gif": encoded(photograph("P"), "GIF"),
        "bmp": encoded(rgb, "BMP"),
        "avif": encoded(rgb, "AVIF", speed=10),
        "heic": heic.read_bytes(),
        "tiff": encoded(rgb, "TIFF"),
        "lzw tiff": encoded(rgb, "TIFF", compression="tiff_lzw"),
        "jpeg tiff": encoded(rgb, "TIFF", compression="jpeg"),
        "planar tiff": tiff(
            np.moveaxis(deep, -1, 0), photometric="rgb", planarconfig="separate", compression="lzw"
        ),
        "cmyk tiff": tiff(
            cmyk, photometric="separated", extrasamples=["unassalpha"], compression="deflate",
            tile=(256, 256),
        ),
        "float big-endian tiff": tiff(
            np.asarray(rgb).astype(np.float32) / 255, photometric="rgb", byteorder=">",
            bigtiff=True, compression="deflate",
        ),
        "lerc tiff": tiff(np.asarray(rgb), photometric="rgb", compression="lerc"),
        "webp tiff": tiff(np.asarray(rgb), photometric="rgb", compression="webp"),
    }  # fmt: skip


def mutations(files: dict[str, bytes], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield `count` damaged files: bytes flipped, cut short, parts swapped, in turn."""
    rng = np.random.default_rng(seed)
    names = list(files)
    for number in range(count):
        name = names[number % len(names)]
        kind = ("flipped header", "flipped", "cut", "swapped")[number // len(names) % 4]
        yield f"{number} {kind} of {name}", _mutated(files[name], kind, rng)


def _mutated(data: bytes, kind: str, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    match kind:
        case "flipped header" | "flipped":
            reach = min(HEADER, len(data)) if kind == "flipped header" else len(data)
            directory = _directory(data)
            start = directory if directory and kind == "flipped header" else 2
            for at in rng.integers(start, min(start + reach, len(data)), rng.integers(1, 9)):
                changed[at] ^= rng.integers(1, 256)
        case "cut":
            del changed[int(rng.integers(1, len(data))) :]
        case "swapped":
            first, second = sorted(rng.integers(8, max(9, len(data) - 64), 2).tolist())
            length = int(rng.integers(4, 64))
            changed[first : first + length], changed[second : second + length] = (
                changed[second : second + length], changed[first : first + length],
            )  # fmt: skip
    return bytes(changed)


def _directory(data: bytes) -> int:
    """Where a TIFF's first directory is, in which damage does most; 0 for other formats."""
    if data[:2] not in {b"II", b"MM"}:
        return 0
    order = "<" if data[:2] == b"II" else ">"
    if 43 in data[2:4]:
        return struct.unpack_from(f"{order}Q", data, 8)[0]
    return struct.unpack_from(f"{order}I", data, 4)[0]


def decode_apart(files: dict[str, bytes], folder: Path) -> dict[str, Decoded]:
    """Decode each file in a process of its own, forked from one that has decoded nothing."""
    for name, data in files.items():
        (folder / name).write_bytes(data)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    answer = subprocess.run(
        [sys.executable, "-m", "support.mutations", folder], env=environment, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    return {name: Decoded(*values) for name, values in json.loads(answer.stdout).items()}


def _decode_in_child(path: Path) -> tuple[str, int]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, json.dumps(_measured(path)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        text = answer.read()
    _, status = os.waitpid(child, 0)
    code, growth = json.loads(text) if text and status == 0 else ("died", 0)
    return code, growth


def _measured(path: Path) -> tuple[str, int]:
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts here
    before = _status("VmRSS")
    limit = _status("VmSize") + MAX_GROWTH
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    code = ""
    try:
        decode(path.read_bytes(), LIMITS)
    except CutoutError as error:
        code = str(error.code)
    except MemoryError:
        code = "out_of_memory"
    except Exception as error:
        code = f"internal_error: {error!r}"
    return code, _status("VmHWM") - before


def _status(name: str) -> int:
    """Return a number of this process's status, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * KIB
    raise ValueError(name)


IMAGE_CODES = {
    "", ErrorCode.TRUNCATED_IMAGE, ErrorCode.CORRUPT_IMAGE, ErrorCode.UNSUPPORTED_FORMAT,
    ErrorCode.NOT_AN_IMAGE, ErrorCode.TOO_MANY_PIXELS, ErrorCode.NOTHING_VISIBLE,
}  # fmt: skip
MAX_MEMORY_RATIO = 1.2
SLACK = 4 << 20
"""Bytes of libraries that are loaded only for some files."""


def family(name: str) -> str:
    """The format of a sound or damaged file: the last word of a specimen's name."""
    return name.rsplit(" of ", maxsplit=1)[-1].rsplit(maxsplit=1)[-1]


def assert_damaged_files_end_well(folder: Path, *, count: int, seed: int) -> None:
    """Decode damaged files: no process dies, and none needs more memory than sound files do."""
    sound = specimens()
    damaged = dict(mutations(sound, count, seed))
    assert len(damaged) == count
    results = decode_apart(sound | damaged, folder)
    limits: dict[str, float] = {}
    for name in sound:
        assert results[name].code == ""
        limits[family(name)] = max(
            limits.get(family(name), 0), MAX_MEMORY_RATIO * results[name].growth + SLACK
        )
    ends = {name: results[name] for name in damaged}
    assert {name: end.code for name, end in ends.items() if end.code not in IMAGE_CODES} == {}
    assert {
        name: end.growth for name, end in ends.items() if end.growth > limits[family(name)]
    } == {}
    counts = Counter(end.code for end in ends.values())
    # the damage is neither harmless nor fatal to all
    assert min(counts[code] for code in ("", "corrupt_image", "truncated_image")) > count / 20


if __name__ == "__main__":
    paths = sorted(Path(sys.argv[1]).iterdir())
    sys.stdout.write(json.dumps({path.name: _decode_in_child(path) for path in paths}))
