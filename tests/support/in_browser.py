"""A page in a real browser without a screen: Chromium, by the extra `browser` and an installed chromedriver."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--window-size=1280,900",
)  # fmt: skip


def started(folder: Path) -> Any:
    """Return a browser that keeps its files in a folder, or skip the test."""
    selenium = pytest.importorskip("selenium.webdriver", reason="needs selenium: pip install jaxdem-ac[browser]")
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("needs chromium and chromedriver on the path")
    options = selenium.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return selenium.Chrome(options=options, service=selenium.ChromeService(DRIVER))


def wait(condition: Callable[[], Any]) -> Any:
    """Return what a condition comes to, within half a minute."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come within half a minute")


def media(browser: Any, scheme: str, motion: str = "no-preference") -> None:
    features = [
        {"name": "prefers-color-scheme", "value": scheme},
        {"name": "prefers-reduced-motion", "value": motion},
    ]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def ask(browser: Any, expression: str) -> Any:
    return browser.execute_script(f"const player = window.jaxdemPlayer; return {expression};")


def text(browser: Any, selector: str) -> str:
    found = browser.execute_script("return document.querySelector(arguments[0]).textContent;", selector)
    return str(found)


def press(browser: Any, key: str, selector: str = "#canvas") -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    browser.find_element(By.CSS_SELECTOR, selector).send_keys(getattr(Keys, key))


def point_at(browser: Any, particle: int) -> None:
    """Move the pointer to a particle, as a hand does."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    canvas = browser.find_element(By.ID, "canvas")
    x, y = ask(browser, f"player.positionOnScreen({particle})")
    width, height = canvas.size["width"], canvas.size["height"]
    ActionChains(browser).move_to_element_with_offset(canvas, int(x - width / 2), int(y - height / 2)).perform()


def numbers_in(text: str) -> np.ndarray:
    return np.array([float(part) for part in text.split(",")])


def opened(browser: Any, path: Path) -> None:
    media(browser, "light", "reduce")
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get(path.as_uri())
    wait(lambda: browser.execute_script("return window.jaxdemPlayer?.episode"))


def complaints(browser: Any) -> list[Any]:
    """Return what the console holds of errors since it was last read."""
    return [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
