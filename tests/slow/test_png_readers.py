"""PNGs of the encoder, read by programs that share no decoder with Pillow."""

import base64
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from support.images import SRGB
from support.paths import SAMPLES
from support.services import missing

from worker.imaging.png.encoder import encode

SAMPLE = SAMPLES / "cat.jpg"

PAGE = """<!doctype html><pre id="result">waiting</pre><script>
(async () => {
  const bytes = Uint8Array.from(atob("%s"), c => c.charCodeAt(0));
  const image = await createImageBitmap(new Blob([bytes], {type: "image/png"}),
    {premultiplyAlpha: "none", colorSpaceConversion: "none"});
  const gl = document.createElement("canvas").getContext("webgl2");
  gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, image);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D,
    gl.getParameter(gl.TEXTURE_BINDING_2D), 0);
  const pixels = new Uint8Array(4 * image.width * image.height);
  gl.readPixels(0, 0, image.width, image.height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", pixels));
  return `${image.width}x${image.height} ` +
    Array.from(digest, byte => byte.toString(16).padStart(2, "0")).join("");
})().catch(String).then(text => { document.getElementById("result").textContent = text; });
</script>"""


def cutout() -> np.ndarray:
    """A sample photograph with soft alpha, with hardly two equal values in a row."""
    with Image.open(SAMPLE) as image:
        colours = np.asarray(image.convert("RGB").resize((403, 301)))
    down, across = np.mgrid[0:301, 0:403]
    circle = 400 - 1.6 * np.hypot(down - 150, across - 200)
    alpha = circle.clip(0, 255).astype(np.uint8)
    pixels = np.dstack([colours, alpha])
    pixels[alpha == 0] = 0
    return pixels


def noisy() -> np.ndarray:
    pixels = np.random.default_rng(3).integers(0, 256, (301, 403, 4), np.uint8)
    pixels[:100] = 0
    return pixels


PICTURES = {"cutout": cutout(), "noise": noisy(), "transparent": np.zeros((40, 30, 4), np.uint8)}
each_picture = pytest.mark.parametrize("pixels", PICTURES.values(), ids=list(PICTURES))


def encoded(pixels: np.ndarray, icc_profile: bytes | None = None) -> bytes:
    height, width, _ = pixels.shape
    size, resolution = (width, height), (11_811, 11_811)
    return encode(lambda top, bottom: pixels[top:bottom], size, icc_profile, resolution)


def program(name: str) -> str:
    return shutil.which(name) or missing(f"{name} is not installed")


@each_picture
def test_opencv_reads_the_same_pixels(pixels: np.ndarray):
    read = cv2.imdecode(np.frombuffer(encoded(pixels), np.uint8), cv2.IMREAD_UNCHANGED)
    assert (cv2.cvtColor(read, cv2.COLOR_BGRA2RGBA) == pixels).all()


@pytest.mark.parametrize("icc_profile", [None, SRGB], ids=["sRGB", "profile"])
@each_picture
def test_pngcheck_finds_no_errors(pixels: np.ndarray, icc_profile: bytes | None, tmp_path: Path):
    path = tmp_path / "cutout.png"
    path.write_bytes(encoded(pixels, icc_profile))
    result = subprocess.run(
        [program("pngcheck"), "-v", path], check=False, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stdout
    assert "No errors detected" in result.stdout


@each_picture
def test_chromium_reads_the_same_pixels(pixels: np.ndarray, tmp_path: Path):
    page = tmp_path / "page.html"
    page.write_text(PAGE % base64.b64encode(encoded(pixels)).decode())
    command = [
        program("chromium"), "--headless", "--no-sandbox", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
        f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=30000", "--dump-dom",
        page.as_uri(),
    ]  # fmt: skip
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    match = re.search(r'<pre id="result">(.*?)</pre>', result.stdout, re.DOTALL)
    assert match, result.stderr[-2000:]
    height, width, _ = pixels.shape
    assert match[1] == f"{width}x{height} {hashlib.sha256(pixels.tobytes()).hexdigest()}"
