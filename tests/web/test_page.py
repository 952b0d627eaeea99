"""The page in a real browser, with a real server. The neural network is a stand-in."""

import base64
import io
import json
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select
from support.catalogue import photograph
from support.chromium import Browser, assert_steadily, chromium
from support.faults import Answer, Fault, HttpProxy, rewrite
from support.page_cluster import HOSTILE, MAX_PIXELS, PageCluster, fill, page_cluster
from support.paths import SAMPLES
from support.services import until

from contract.errors import CutoutError, ErrorCode
from contract.presets import PRESETS
from producer.web import problems
from producer.web.problems import RequestError

CAT, COFFEE, ROCKET = (SAMPLES / f"{name}.jpg" for name in ("cat", "coffee", "rocket"))
PHOTOGRAPHS = 300
SLIDER = 'input[type="range"]:not([hidden])'


@dataclass
class Site:
    url: str
    destination: str
    key: str = ""
    """the API key that the server requires; empty: none"""
    source: str = "s3://photographs/in"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageCluster]:
    folder = tmp_path_factory.mktemp("page")
    env = {
        "CUTOUT_MODEL_DIR": str(folder / "models"),
        "CUTOUT_MAX_PIXELS": str(MAX_PIXELS),
        "CUTOUT_RATE_LIMIT_PER_MINUTE": "100000",  # all tests are one client
    }
    with page_cluster(folder, env) as running:
        fill(running.buckets / "photographs/in", PHOTOGRAPHS)
        yield running


@pytest.fixture
def site(request: pytest.FixtureRequest, cluster: PageCluster, tmp_path: Path) -> Site:
    """A server; with the parameter `locked`, one that requires an API key."""
    url, key = cluster.serve(), ""
    if getattr(request, "param", ""):
        file = tmp_path / "keys"
        key = cluster.make_key(file)
        url = cluster.serve(key, CUTOUT_API_KEYS=str(file))  # reads the file as it starts
    return Site(url, f"s3://photographs/{tmp_path.name}", key)


locked = pytest.mark.parametrize("site", ["locked"], indirect=True)


@pytest.fixture
def browser(tmp_path: Path, site: Site) -> Iterator[Browser]:
    with chromium(tmp_path) as opened:
        yield opened
        assert opened.complaints() == []
        assert opened.hosts() == {urlsplit(site.url).netloc}


def assert_cutout(data: bytes, size: tuple[int, int]) -> None:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.format == "PNG"
        assert image.mode == "RGBA"
        assert image.size == size
        lowest, highest = image.getchannel("A").getextrema()
    assert lowest < 64
    assert highest > 192


def broken_file(folder: Path, name: str = "notes.jpg") -> Path:
    path = folder / name
    path.write_text("not a photograph")
    return path


def hand_over(browser: Browser, event: str, path: Path, name: str) -> None:
    """Dispatch the event of a file that is dropped or pasted."""
    browser.run(
        """const [kind, text, name] = arguments;
        const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], name, { type: "image/jpeg" }));
        const more = { bubbles: true, cancelable: true };
        document.body.dispatchEvent(kind === "paste"
          ? new ClipboardEvent(kind, { ...more, clipboardData: data })
          : new DragEvent(kind, { ...more, dataTransfer: data }));""",
        event, base64.b64encode(path.read_bytes()).decode(), name,
    )  # fmt: skip


def test_a_photograph_becomes_a_png_with_alpha(browser: Browser, site: Site):
    browser.open(site.url)
    assert browser.one("#drop").is_displayed()
    browser.choose(COFFEE)
    card = browser.one('.card[data-status="done"]')
    until(
        lambda: browser.run(
            "return [...document.querySelectorAll('.compare img')].every((i) => i.naturalWidth > 0)"
        )
    )
    assert "600 \N{MULTIPLICATION SIGN} 400" in card.text
    browser.press("Download")
    assert_cutout(browser.downloaded("coffee.png").read_bytes(), (600, 400))
    browser.wait_for_text("#announcer", "coffee.jpg: cut out.")


def choose_rendition(browser: Browser, words: str) -> None:
    Select(browser.one("#rendition")).select_by_visible_text(words)


def test_every_result_that_is_offered(browser: Browser, site: Site, tmp_path: Path):
    browser.open(site.url)
    offered = [option.text for option in browser.all("#rendition > option")]
    for number, words in enumerate(offered):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(COFFEE.read_bytes())
        choose_rendition(browser, words)  # photographs added before keep theirs
        browser.choose(path)
    browser.wait_for_count('.card[data-status="done"]', len(offered))
    browser.press(f"Download all {len(offered)}")
    with zipfile.ZipFile(browser.downloaded("*.zip")) as archive:
        for number, words in enumerate(offered):
            jpeg = words.startswith("JPEG on white")
            data = archive.read(f"{number}.{'jpg' if jpeg else 'png'}")
            with Image.open(io.BytesIO(data)) as image:
                assert image.format == ("JPEG" if jpeg else "PNG")
                assert image.mode == ("RGB" if jpeg else "L" if "grey" in words else "RGBA")
                assert image.size == (600, 400) or "original size" not in words
    assert offered[0] == "Transparent PNG, original size"


def test_a_preset_shows_the_verdict_of_its_check(browser: Browser, site: Site, tmp_path: Path):
    browser.open(site.url)
    offered = [
        option.get_attribute("value") for option in browser.all("#rendition optgroup option")
    ]
    placing = [name for name, preset in PRESETS.items() if preset.rendition.scale]
    assert [json.loads(value)["recipe"] for value in offered] == placing
    photograph(tmp_path / "large.jpg", size=(1100, 800))
    choose_rendition(browser, "eBay, listing photograph")
    browser.choose(tmp_path / "large.jpg")
    card = browser.one('.card[data-status="done"]')
    assert "Fulfils every requirement of ebay." in card.text
    browser.press("Download")
    with Image.open(browser.downloaded("large.jpg")) as image:
        assert (image.format, image.size[0]) == ("JPEG", image.size[1])
    browser.press("Remove")
    photograph(tmp_path / "small.jpg", size=(160, 120))
    browser.choose(tmp_path / "small.jpg")
    failed = browser.one('.card[data-status="failed"]').text
    assert "preset_failed" in failed
    assert "longest_side" in failed
    assert "required: at least 500 px" in failed


def test_only_images_with_the_same_layout_are_compared(browser: Browser, site: Site):
    browser.open(site.url)
    choose_rendition(browser, "JPEG on white, original size")
    browser.choose(COFFEE)
    browser.wait_for_count('.card[data-status="done"]', 1)
    assert browser.all(f".card {SLIDER}")
    browser.press("Download")
    with Image.open(browser.downloaded("coffee.jpg")) as image:
        assert (image.format, image.size) == ("JPEG", (600, 400))
    browser.press("Remove")

    choose_rendition(browser, "Transparent PNG, cropped to the product")
    browser.choose(ROCKET)
    browser.wait_for_count('.card[data-status="done"]', 1)
    browser.press("Enlarge")
    for area in (".card", "#look-content"):
        shown = browser.one(f"{area} .after")
        assert shown.get_attribute("alt") == "Cut-out of rocket.jpg"
        assert not browser.all(f"{area} {SLIDER}")
        assert not browser.all(f"{area} .before")[0].is_displayed()


def test_a_retry_uses_the_current_choice(browser: Browser, site: Site, tmp_path: Path):
    Image.new("RGB", (160, 120), "black").save(tmp_path / "black.jpg")
    browser.open(site.url)
    choose_rendition(browser, "Transparent PNG, cropped to the product")
    browser.choose(tmp_path / "black.jpg")
    assert "no_subject" in browser.one('.card[data-status="failed"]').text
    choose_rendition(browser, "Transparent PNG, original size")
    browser.press("Retry")
    card = browser.one('.card[data-status="done"]')
    assert "160 \N{MULTIPLICATION SIGN} 120" in card.text


def test_one_bad_file_among_several_harms_no_other(browser: Browser, site: Site, tmp_path: Path):
    browser.open(site.url)
    browser.choose(CAT, broken_file(tmp_path), COFFEE, ROCKET)
    browser.wait_for_count('.card[data-status="done"]', 3)
    failed = browser.one('.card[data-status="failed"]')
    assert "not_an_image" in failed.text
    assert "Replace the file" in failed.text
    browser.all('[name="filter"][value="failed"]')[0].click()
    assert [card.is_displayed() for card in browser.all(".card")].count(True) == 1
    browser.run(
        """new MutationObserver(() => { document.documentElement.dataset.again = "yes"; }).observe(
          document.querySelector('.card[data-status="failed"]'), { attributes: true })"""
    )
    browser.press("Retry")
    until(lambda: browser.all('[data-again="yes"]'))
    browser.wait_for_count('.card[data-status="failed"]', 1)
    browser.press("Remove")
    browser.wait_for_count(".card", 3)
    assert not browser.all('.card[data-status="failed"]')


def test_all_in_one_archive(browser: Browser, site: Site, tmp_path: Path):
    twin = tmp_path / "CAT.jpg"
    twin.write_bytes(CAT.read_bytes())
    umlauts = tmp_path / "Schöne Tasse, 杯.jpg"
    umlauts.write_bytes(COFFEE.read_bytes())
    browser.open(site.url)
    browser.choose(CAT, twin, umlauts, broken_file(tmp_path))
    browser.wait_for_count('.card[data-status="done"]', 3)
    browser.wait_for_count('.card[data-status="failed"]', 1)
    browser.press("Download all 3")
    with zipfile.ZipFile(browser.downloaded("*.zip")) as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == ["CAT (2).png", "Schöne Tasse, 杯.png", "cat.png"]
        for name in archive.namelist():
            assert_cutout(archive.read(name), (600, 400) if "Tasse" in name else (451, 300))


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_files_may_be_dropped_and_pasted(browser: Browser, site: Site, event: str):
    browser.open(site.url)
    hand_over(browser, event, ROCKET, "rocket.jpg")
    card = browser.one('.card[data-status="done"]')
    assert "rocket.jpg" in card.text


def test_the_keyboard_is_enough(browser: Browser, site: Site):
    browser.open(site.url)
    driver = browser.driver
    driver.execute_cdp_cmd("Page.enable", {})
    driver.execute_cdp_cmd("Page.setInterceptFileChooserDialog", {"enabled": True})
    browser.run(
        """document.querySelector("#files").addEventListener("click", () => {
          document.documentElement.dataset.picking = "yes"; })"""
    )

    def press(*keys: str) -> None:
        ActionChains(driver).send_keys(*keys).perform()

    def tab_to(selector: str) -> None:
        for _ in range(40):
            press(Keys.TAB)
            if browser.run("return document.activeElement.matches(arguments[0])", selector):
                return
        pytest.fail(f"no way to {selector}")

    press(Keys.TAB)
    assert browser.focused().text == "Skip to the content"
    tab_to("#choose")
    assert browser.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    press(Keys.ENTER)
    assert browser.run("return document.documentElement.dataset.picking") == "yes"
    tab_to("#rendition")
    offered = Select(browser.focused())
    press(Keys.ARROW_DOWN)
    assert offered.first_selected_option == offered.options[1]
    press(Keys.ARROW_UP)
    browser.choose(CAT, COFFEE)
    browser.wait_for_count('.card[data-status="done"]', 2)

    browser.run("document.querySelector('#choose').focus()")
    tab_to('.card input[type="range"]')
    slider = browser.focused()
    before = int(slider.get_attribute("value"))
    press(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert int(slider.get_attribute("value")) == before - 2
    assert slider.get_attribute("aria-valuetext") == f"{before - 2} % original"
    tab_to(".card .buttons button")
    press(Keys.ENTER)
    assert_cutout(browser.downloaded("cat.png").read_bytes(), (451, 300))

    tab_to('.card [aria-label^="Enlarge"]')
    press(Keys.ENTER)
    assert browser.one("#look-dialog").is_displayed()
    press(Keys.ESCAPE)
    until(lambda: not browser.all("#look-dialog[open]"))
    assert browser.focused().get_attribute("aria-label") == "Enlarge cat.jpg"
    tab_to('.card [aria-label^="Remove"]')
    press(Keys.ENTER)
    browser.wait_for_count(".card", 1)
    assert browser.focused().get_attribute("aria-label") == "Download coffee.jpg"


def test_every_control_has_a_name(browser: Browser, site: Site):
    browser.open(site.url)
    browser.choose(CAT)
    browser.wait_for_count('.card[data-status="done"]', 1)
    nodes = browser.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    roles = {"button", "slider", "radio", "combobox", "link", "textbox", "progressbar", "image"}
    shown = [n for n in nodes if not n["ignored"] and n["role"]["value"] in roles]
    assert len(shown) > 15
    assert [n for n in shown if not n.get("name", {}).get("value")] == []
    landmarks = {n["role"]["value"] for n in nodes if not n["ignored"]}
    assert {"banner", "navigation", "main"} <= landmarks


def test_the_background_is_chosen_for_the_preview_only(browser: Browser, site: Site):
    browser.open(site.url)
    browser.choose(COFFEE)
    browser.wait_for_count('.card[data-status="done"]', 1)

    def ground() -> str:
        return browser.run(
            "return getComputedStyle(document.querySelector('.card .compare')).backgroundColor"
        )

    browser.all('[name="backdrop"][value="white"]')[0].click()
    assert ground() == "rgb(255, 255, 255)"
    browser.run(
        """const colour = document.querySelector("#colour"); colour.value = "#ff0080";
        colour.dispatchEvent(new Event("input", { bubbles: true }));"""
    )
    assert ground() == "rgb(255, 0, 128)"
    browser.all('[name="view"][value="0"]')[0].click()
    assert browser.all('.card input[type="range"]')[0].get_attribute("value") == "0"
    browser.press("Download")
    assert_cutout(browser.downloaded("coffee.png").read_bytes(), (600, 400))


def test_clearing_asks_about_images_not_downloaded(browser: Browser, site: Site):
    browser.open(site.url)
    browser.choose(CAT)
    browser.wait_for_count('.card[data-status="done"]', 1)
    browser.press("Clear")
    browser.one("#confirm-no").click()
    assert len(browser.all(".card")) == 1
    browser.press("Clear")
    browser.one("#confirm-yes").click()
    browser.wait_for_count(".card", 0)
    assert browser.focused().get_attribute("id") == "choose"


@dataclass
class Peak:
    """Counts concurrent requests, each of which is slowed down by `seconds`."""

    seconds: float
    current: int = 0
    highest: int = 0

    def begin(self) -> None:
        self.current += 1
        self.highest = max(self.highest, self.current)

    def end(self, answer: Answer) -> Answer:
        time.sleep(self.seconds)
        self.current -= 1
        return answer


@pytest.fixture
def proxy(site: Site) -> Iterator[HttpProxy]:
    """A proxy in front of the server, to which a test adds faults."""
    with HttpProxy(site.url) as proxy:
        site.url = proxy.url
        yield proxy


def test_at_most_four_at_a_time(proxy: HttpProxy, browser: Browser, site: Site, tmp_path: Path):
    peaks = {"POST": Peak(0.3), "GET": Peak(0.05)}
    for method, peak in peaks.items():
        proxy.add(rewrite(peak.end), methods={method}, path="/v1/cutouts")
    proxy.before = lambda method, path: "/v1/cutouts" in path and peaks[method].begin()
    files = []
    for number in range(14):
        files.append(tmp_path / f"{number}.jpg")
        files[-1].write_bytes(CAT.read_bytes())
    browser.open(site.url)
    browser.choose(*files)
    browser.wait_for_count('.card[data-status="done"]', 14)
    assert peaks["POST"].highest == 4
    assert peaks["GET"].highest <= 8  # four read the status, four download


def refusal(error: CutoutError) -> Fault:
    """Return the server's answer to an error, as a fault of the proxy."""
    answer = problems.response(error)
    headers = [(name.title(), text) for name, text in answer.headers.items()]
    return Fault("refusal", answer=Answer(answer.status_code, "Refused", headers, answer.body))


def test_a_busy_server_is_waited_for(proxy: HttpProxy, browser: Browser, site: Site):
    full = refusal(RequestError(ErrorCode.QUEUE_FULL, "1,000 images wait already.", 1))
    slow = refusal(RequestError(ErrorCode.TOO_MANY_REQUESTS, "Not so often.", 1))
    away = refusal(RequestError(ErrorCode.REDIS_UNAVAILABLE, "Redis does not answer.", 1))
    proxy.add(full, methods={"POST"}, path="/v1/cutouts", limit=3)
    proxy.add(slow, methods={"GET"}, path="/image", limit=8)
    proxy.add(away, methods={"GET"}, path="/v1/cutouts/", limit=2)
    browser.open(site.url)
    browser.choose(CAT, COFFEE, ROCKET)
    browser.wait_for_text(
        "#notices", "1,000 images wait already. Uploads will continue automatically."
    )
    browser.wait_for_count('.card[data-status="done"]', 3)
    until(lambda: browser.text("#notices") == "")
    assert len(browser.all('.card[data-status="done"]')) == 3


def test_a_hostile_file_name_is_text(browser: Browser, site: Site, tmp_path: Path):
    browser.open(site.url)
    browser.choose(broken_file(tmp_path, HOSTILE))
    hand_over(browser, "drop", CAT, "..\\<b>\u202ejpg.exe\u202c/" + HOSTILE)
    browser.wait_for_count('.card[data-status="failed"]', 1)
    browser.wait_for_count('.card[data-status="done"]', 1)
    assert browser.run("return document.querySelector('.card .name').textContent") == HOSTILE
    assert not browser.all('.card img[src="x"]')
    assert not browser.all(".card .name b")
    browser.press("Download all")
    with zipfile.ZipFile(browser.downloaded("*.zip")) as archive:
        assert archive.namelist() == [
            "_b__jpg.exe_/_img src=x onerror=alert(1)_.png"
        ]  # no path upwards, no bidirectional marks, no characters that Windows forbids


@locked
def test_a_key_is_asked_for_and_kept_for_the_tab(browser: Browser, site: Site):
    browser.open(site.url)
    browser.one("#key").send_keys("wrong-key", Keys.ENTER)
    browser.wait_for_text("#key-error", "did not accept")
    browser.one("#key").send_keys(site.key, Keys.ENTER)
    until(lambda: not browser.all("dialog[open]"))
    until(lambda: browser.all("#model option"))
    browser.choose(COFFEE)
    browser.wait_for_count('.card[data-status="done"]', 1)
    browser.driver.refresh()
    until(lambda: browser.all("#model option"))
    assert not browser.all("dialog[open]")


@locked
def test_photographs_wait_for_the_key(browser: Browser, site: Site):
    browser.open(site.url)
    browser.one("#key-cancel").click()
    browser.choose(CAT)
    browser.wait_for_count('.card[data-status="waiting"]', 1)
    assert_steadily(lambda: not browser.all("dialog[open]"), 0.5)
    browser.press("Enter the key", "#notices")
    browser.one("#key").send_keys(site.key, Keys.ENTER)
    browser.wait_for_count('.card[data-status="done"]', 1)
    assert browser.text("#notices") == ""


def test_a_batch_from_the_form_to_its_report(browser: Browser, site: Site):
    browser.open(f"{site.url}/#batches")
    browser.press("New batch")
    browser.one("#source").send_keys("nowhere")
    browser.one("#destination").send_keys(site.destination, Keys.ENTER)
    browser.wait_for_text("#batch-error", "s3://")
    browser.one("#source").clear()
    browser.one("#source").send_keys(site.source, Keys.ENTER)
    browser.one('.batch:first-child[data-state="open"]')
    assert site.source in browser.one(".locations").text

    browser.press("Pause")
    browser.one('.batch:first-child[data-state="paused"]')
    assert browser.one(".stalled-reason").text == "Paused by an operator; Resume continues it."
    browser.press("Resume")
    browser.one('.batch:first-child[data-state="open"]')
    browser.one(".curve")
    browser.wait_for_text(".pace", "images/s")

    browser.one('.batch:first-child[data-state="closed"]')
    bar = browser.one('[role="progressbar"]')
    assert bar.get_attribute("aria-valuenow") == bar.get_attribute("aria-valuemax")
    browser.one(".failures summary").click()
    browser.one(".failure")
    names = [e.text for e in browser.all(".failure .name")]
    assert any(name.endswith(HOSTILE) for name in names)
    assert not browser.all('img[src="x"]')
    assert "not_an_image" in browser.text(".groups")
    assert "Replace the file" in browser.text(".groups")
    assert "too_many_pixels" in browser.text(".groups")
    browser.one(".thumb.loaded img")  # the browser shows what the worker refused
    assert browser.run("return document.querySelector('.thumb img').naturalWidth") > 0

    browser.press("Report, CSV")
    assert browser.downloaded("*.csv").read_text().startswith("line,key")
    browser.press("Report, JSONL")
    assert browser.downloaded("*.jsonl").read_text().startswith("{")
    browser.press("Retry failures")
    browser.wait_for_text("#announcer", "Retrying 2 images.")
    browser.one('.batch:first-child[data-state="closed"]')
    assert browser.text(".failures summary") == "2 failures"  # of the same files


def test_a_batch_is_cancelled_after_a_question(browser: Browser, site: Site):
    browser.open(f"{site.url}/#batches")
    browser.press("New batch")
    browser.one("#source").send_keys(site.source)
    browser.one("#destination").send_keys(site.destination, Keys.ENTER)
    browser.one('.batch:first-child[data-state="open"]', 30)  # once its source is listed
    browser.press("Cancel", ".batch")
    browser.one("#confirm-no").click()
    assert_steadily(lambda: browser.all('.batch:first-child[data-state="open"]'), 0.6)
    browser.press("Cancel", ".batch")
    browser.one("#confirm-yes").click()
    browser.one('.batch:first-child[data-state="closed"]')
    bar = browser.one('[role="progressbar"]')
    assert bar.get_attribute("aria-valuenow") == bar.get_attribute("aria-valuemax")
    assert browser.one(".failures summary").text.endswith("failures")  # what was not processed


def test_it_fits_a_phone(browser: Browser, site: Site):
    browser.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True},
    )
    browser.open(site.url)
    wide = "return document.documentElement.scrollWidth"
    until(lambda: browser.run(wide) <= 360)  # the layout follows the emulated screen
    browser.choose(CAT)
    browser.wait_for_count('.card[data-status="done"]', 1)
    assert browser.run(wide) <= 360
    browser.open(f"{site.url}/#batches")
    browser.press("New batch")
    assert browser.run(wide) <= 360
    browser.one("#source").send_keys(f"{site.source}")
    browser.one("#destination").send_keys(site.destination, Keys.ENTER)
    browser.one(".batch")
    assert browser.run(wide) <= 360
