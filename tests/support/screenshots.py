"""Draws docs/page-*.png: the page with the sample photographs, a real server and U2-NetP.

usage: PYTHONPATH=tests .venv/bin/python tests/support/screenshots.py docs
(after `cutout models pull u2netp`, and best with the fonts of a desktop: Debian's fonts-inter)
"""

import base64
import io
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from selenium.webdriver.common.keys import Keys

from support.chromium import Browser, chromium
from support.page_cluster import HOSTILE, SAMPLES, PageCluster, page_cluster
from support.services import until

MAX_BYTES = 300_000
LATE_PIXELS = 9000, 6000


def look_like(browser: Browser, width: int, height: int, scale: float, theme: str) -> None:
    browser.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600},
    )
    browser.driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": theme}]},
    )


def shoot(browser: Browser, path: Path) -> None:
    time.sleep(0.7)
    data = browser.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"]
    with Image.open(io.BytesIO(base64.b64decode(data))) as shot:
        colours = shot.convert("RGB")
    # the page's 16 commonest colours exactly, the rest by 240 near ones
    common = sorted(colours.getcolors(2**24) or [], reverse=True)[:16]
    near = colours.quantize(240, kmeans=4).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for _, colour in common for part in colour] + near)
    colours.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
    if path.stat().st_size > MAX_BYTES:
        raise SystemExit(f"{path} is larger than {MAX_BYTES:,} bytes.")


def photographs(folder: Path) -> list[Path]:
    by_name = {path.stem: path for path in SAMPLES}
    chart = folder / "size-chart.pdf"
    chart.write_text("not a photograph")
    return [by_name["coffee"], by_name["astronaut"], chart, by_name["cat"], by_name["rocket"]]


def desktop_fonts(folder: Path) -> None:
    """Map `system-ui` to Inter, a desktop's font, if it is installed."""
    rules = folder / "fonts.conf"
    prefer = (
        '<match target="pattern"><test name="family"><string>{}</string></test>'
        '<edit name="family" mode="prepend" binding="strong"><string>Inter</string></edit></match>'
    )
    rules.write_text(
        '<fontconfig><include ignore_missing="yes">/etc/fonts/fonts.conf</include>'
        + "".join(prefer.format(name) for name in ("system-ui", "sans", "sans-serif"))
        + "</fontconfig>"
    )
    os.environ["FONTCONFIG_FILE"] = str(rules)


def shoot_cutouts(browser: Browser, cluster: PageCluster, folder: Path, docs: Path) -> None:
    look_like(browser, 1280, 1040, 1, "light")
    for _ in range(2):  # the first round warms the worker
        browser.open(cluster.serve())
        browser.choose(*photographs(folder))
        browser.wait_for_count('.card[data-group="done"]', len(SAMPLES))
        browser.wait_for_count('.card[data-status="failed"]', 1)
    late = folder / "coffee-from-above.jpg"
    with Image.open(next(path for path in SAMPLES if path.stem == "coffee")) as image:
        image.resize(LATE_PIXELS).save(late)
    browser.choose(late)
    browser.one('.card[data-status="working"]')
    worker = cluster.cluster.processes["worker"].pid
    os.killpg(worker, signal.SIGSTOP)
    browser.one('.card[data-status="working"] .before')
    shoot(browser, docs / "page-desktop.png")
    os.killpg(worker, signal.SIGCONT)
    browser.wait_for_count('.card[data-group="active"]', 0)
    look_like(browser, 1280, 1040, 1, "dark")
    shoot(browser, docs / "page-dark.png")
    look_like(browser, 390, 844, 2, "light")
    shoot(browser, docs / "page-phone.png")


def fill(source: Path, count: int) -> None:
    """Write `count` samples, two files that fail, a poster that is too large, and a table."""
    (source / "shoes").mkdir(parents=True)
    for number in range(count):
        shutil.copy(SAMPLES[number % len(SAMPLES)], source / f"shoes/{number:04}.jpg")
    (source / "shoes/0003 (copy).jpg").write_text("not a photograph")
    (source / f"shoes/0004 {HOSTILE}").write_text("not a photograph")
    with Image.open(SAMPLES[0]) as image:
        image.resize((12000, 9000)).save(source / "shoes/0005-poster.jpg", quality=60)
    (source / "prices.csv").write_text("not a photograph")


def shoot_batches(browser: Browser, cluster: PageCluster, docs: Path) -> None:
    look_like(browser, 1280, 1040, 1, "light")
    browser.open(f"{cluster.serve()}/#batches")
    for season, seconds in (("spring", 6), ("autumn", 40)):
        browser.press("New batch")
        browser.one("#source").clear()
        browser.one("#source").send_keys(f"s3://photographs/{season}")
        browser.one("#destination").clear()
        browser.one("#destination").send_keys(f"s3://photographs/{season}-cut", Keys.ENTER)
        until(lambda: not browser.all("dialog[open]"))
        time.sleep(seconds)
        if season == "spring":
            browser.press("Pause", ".batch")
    browser.run("document.querySelector('.batch:first-child .failures').open = true")
    until(lambda: browser.all(".thumb.loaded img"))
    browser.run("document.activeElement.blur(); scrollTo(0, 0)")
    shoot(browser, docs / "page-batches.png")


def main(docs: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        desktop_fonts(folder)
        with (
            page_cluster(folder, {}, stand_in=False) as cluster,
            chromium(folder, "--hide-scrollbars") as browser,
        ):
            for season in ("spring", "autumn"):
                fill(cluster.buckets / "photographs" / season, 600)
            shoot_cutouts(browser, cluster, folder, docs)
            shoot_batches(browser, cluster, docs)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
