"""A headless Chromium driven by a test, with its console errors and its requests."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from support.services import missing, until

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip


class Browser:
    def __init__(self, driver: Chrome, downloads: Path) -> None:
        self.driver = driver
        self.downloads = downloads
        self.errors: list[str] = []

    def open(self, url: str) -> None:
        self.driver.get(url)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str, seconds: float = 120) -> WebElement:
        """Return the first displayed element, once there is one."""

        def displayed() -> WebElement | None:
            with suppress(StaleElementReferenceException):  # replaced meanwhile
                return next((e for e in self.all(selector) if e.is_displayed()), None)
            return None

        return until(displayed, seconds)

    def wait_for_count(self, selector: str, number: int, seconds: float = 120) -> None:
        until(lambda: len(self.all(selector)) == number, seconds)

    def text(self, selector: str) -> str:
        # from the document: `element.text` is what styles leave visible
        return str(self.run("return document.querySelector(arguments[0]).textContent", selector))

    def wait_for_text(self, selector: str, words: str, seconds: float = 120) -> None:
        until(lambda: words in self.text(selector), seconds)

    def button(self, words: str, within: str = "main") -> WebElement:
        def displayed() -> WebElement | None:
            with suppress(StaleElementReferenceException):  # replaced meanwhile
                for button in self.all(f"{within} button"):
                    if button.is_displayed() and button.text == words:
                        return button
            return None

        return until(displayed)

    def press(self, words: str, within: str = "main") -> None:
        """Click a button, again if the page replaces it between finding and clicking it."""

        def pressed() -> bool:
            with suppress(StaleElementReferenceException):
                self.button(words, within).click()
                return True
            return False

        until(pressed)

    def run(self, script: str, *values: object) -> Any:
        return self.driver.execute_script(script, *values)

    def choose(self, *files: Path) -> None:
        self.all("#files")[0].send_keys("\n".join(map(str, files)))

    def downloaded(self, pattern: str) -> Path:
        def whole() -> Path | None:
            if any(self.downloads.glob("*.crdownload")):
                return None
            return next(iter(sorted(self.downloads.glob(pattern))), None)

        return until(whole)

    def focused(self) -> WebElement:
        return self.driver.switch_to.active_element

    def complaints(self) -> list[str]:
        """Return the console's errors, except that a server answered 4xx or 503."""
        for entry in self.driver.get_log("browser"):
            message = str(entry["message"])
            error = entry["level"] == "SEVERE" and entry["source"] != "network"
            if error or "Content Security Policy" in message:
                self.errors.append(message)
        return self.errors

    def hosts(self) -> set[str]:
        """Return the hosts and ports of all requests."""
        hosts = set()
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                address = urlsplit(message["params"]["request"]["url"])
                if address.scheme not in {"blob", "data", "chrome", "chrome-untrusted"}:  # new tab
                    hosts.add(address.netloc)
        return hosts


@contextmanager
def chromium(folder: Path, *flags: str) -> Iterator[Browser]:
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (binary and driver):
        missing("chromium and chromium-driver are not installed")
    downloads = folder / "downloads"
    downloads.mkdir()
    options = ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}", *flags):
        options.add_argument(flag)
    options.add_experimental_option(
        "prefs",
        {
            "download.default_directory": str(downloads),
            "profile.default_content_setting_values.automatic_downloads": 1,
        },
    )
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # Chromium leaves its socket's folder if it is ended rudely; the path of a socket is short
    with tempfile.TemporaryDirectory(prefix="b-", ignore_cleanup_errors=True) as temporary:
        service = Service(driver, env={**os.environ, "TMPDIR": temporary})
        chrome = Chrome(options=options, service=service)
        try:
            yield Browser(chrome, downloads)
        finally:
            chrome.quit()


def assert_steadily(ask: Callable[[], object], seconds: float) -> None:
    """Assert that `ask` stays true for `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert ask()
        time.sleep(0.05)
