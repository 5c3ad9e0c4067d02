"""Debian's Chromium without a window, driven by the chromedriver of the same version: for tests and pictures."""

import contextlib
import shutil
from collections.abc import Iterator

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

PATIENCE_S = 600
"""For a page on a busy machine; an idle one takes seconds."""
_FLAGS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars")


def missing() -> list[str]:
    """Which of the programs of Debian's packages `chromium` and `chromium-driver` are not there."""
    return [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]


@contextlib.contextmanager
def browser() -> Iterator[Chrome]:
    """A browser, which ends with the block."""
    options = ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in _FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))
    try:
        driver.command_executor.client_config.timeout = PATIENCE_S
        driver.set_page_load_timeout(PATIENCE_S)
        driver.set_script_timeout(PATIENCE_S)
        yield driver
    finally:
        driver.quit()


def show_as(driver: Chrome, *, width_px: int, dark: bool, scale: float = 1.0) -> None:
    """Give the page the width and the colours that a reader's screen has; a phone's where it is narrow."""
    screen = {"width": width_px, "height": 900, "deviceScaleFactor": scale, "mobile": width_px < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
