"""Photographs as old cameras, scanners and shops leave them, through `cutout run` and `audit`."""

import io
import signal
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image
from support.catalogue import report_rows
from support.commands import CUTOUT, addresses_of, cutout
from support.paths import SAMPLES

HEIC = Path(__file__).parents[1] / "unit/worker/imaging/files/picture.heic"


def saved(image: Image.Image, format_name: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def tiff(*pages: tuple[np.ndarray, dict]) -> bytes:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for values, options in pages:
            writer.write(values, metadata=None, **options)
    return buffer.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum


def with_chunk(png: bytes, name: bytes, content: bytes, at: int = 33) -> bytes:
    return png[:at] + chunk(name, content) + png[at:]


def hidden(picture: Image.Image, colour: str) -> bytes:
    """The picture on a transparent ground, under which a colour is hidden."""
    alpha = Image.new("L", picture.size, 0)
    alpha.paste(255, (60, 20, 260, 190))
    under = Image.composite(picture, Image.new("RGB", picture.size, colour), alpha)
    under.putalpha(alpha)
    return saved(under, "PNG")


def readable(picture: Image.Image) -> dict[str, bytes]:
    """Files that show the picture, exactly or within a lossy codec's means."""
    rgb = np.asarray(picture)
    deep = rgb.astype(np.uint16) * 257
    cmyka = np.dstack([np.asarray(picture.convert("CMYK")), np.full(rgb.shape[:2], 255, np.uint8)])
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    png = saved(picture, "PNG")
    small = {"photometric": "rgb", "subfiletype": 1}
    return {
        "no-end.jpg": saved(picture, "JPEG", quality=98)[:-2],
        "avif.jpg": saved(picture, "AVIF", quality=95),
        "workflow.png": with_chunk(png, b"zTXt", b"k\0\0" + zlib.compress(bytes(3_000_000))),
        "damaged-text.png": with_chunk(png, b"tEXt", b"k\0text").replace(b"k\0text", b"k\0test"),
        "empty-srgb.png": with_chunk(png, b"sRGB", b""),
        "planes.tif": tiff(
            (np.moveaxis(deep, -1, 0), {"photometric": "rgb", "planarconfig": "separate"})
        ),
        "cmyk-alpha.tif": tiff(
            (cmyka, {"photometric": "separated", "extrasamples": ["unassalpha"]})
        ),
        "thumbnail.tif": tiff((rgb[::4, ::4], small), (rgb, {"photometric": "rgb"})),
        "turned.tif": saved(
            picture.transpose(Image.Transpose.ROTATE_90), "TIFF", exif=turned,
            compression="tiff_adobe_deflate",
        ),
        "big-endian.tif": tiff((rgb, {"photometric": "rgb"})),
        "lerc.tif": tiff((rgb, {"photometric": "rgb", "compression": "lerc"})),
        "no-alpha.bmp": saved(with_alpha(picture, 0), "BMP"),
    }  # fmt: skip


def with_alpha(picture: Image.Image, alpha: int) -> Image.Image:
    copy = picture.convert("RGBA")
    copy.putalpha(alpha)
    return copy


def refused(picture: Image.Image) -> dict[str, tuple[bytes, str]]:
    png = saved(picture, "PNG")
    dng = {"photometric": "rgb", "extratags": [(50706, "B", 4, (1, 4, 0, 0))]}
    return {
        "transparent.png": (saved(with_alpha(picture, 0), "PNG"), "nothing_visible"),
        "iphone.png": (with_chunk(png, b"CgBI", bytes(4), at=8), "unsupported_format"),
        "raw.tif": (tiff((np.asarray(picture)[::4, ::4], dng)), "unsupported_format"),
        "half.jpg": (saved(picture, "JPEG")[:-200], "truncated_image"),
    }


@pytest.fixture
def picture() -> Image.Image:
    return Image.open(SAMPLES / "coffee.jpg").convert("RGB").resize((320, 212))


def test_odd_photographs_are_read_right_or_refused_by_name(
    catalogue: Path, weights: Path, tmp_path: Path, picture: Image.Image
) -> None:
    right, wrong = readable(picture), refused(picture)
    hiding = {f"hidden-{colour}.png": hidden(picture, colour) for colour in ("black", "lime")}
    files = right | hiding | {name: data for name, (data, _) in wrong.items()}
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
    for name in right:
        with Image.open(out / rows[name]["outputs"]) as output:
            pixels = np.asarray(output).astype(int)
        assert pixels.shape == (212, 320, 4), name
        opaque = pixels[..., 3] == 255
        assert opaque.any(), name
        assert np.abs(pixels[..., :3] - np.asarray(picture))[opaque].mean() < 4, name
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
