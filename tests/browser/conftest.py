"""A real browser for the page: Debian's Chromium, driven by Playwright, without downloads."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("playwright", reason="pip install '.[test]'")
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser.city import City

CHROMIUM = shutil.which("chromium")
WAIT_MS = 15_000
LAUNCH_ARGUMENTS = [
    "--no-sandbox",  # root in a container; the page under test is our own
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--no-first-run",
]


# Per module: Playwright's event loop would be in the way of other tests' asyncio.run.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("apt-get install chromium")
    with sync_playwright() as playwright:
        expect.set_options(timeout=WAIT_MS)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=LAUNCH_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    with City(tmp_path_factory.mktemp("city")) as city:
        yield city


NewPage = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[NewPage]:
    """Opens pages; afterwards none of them may have had an error of any kind."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def open_page(address: str, **options: object) -> Page:
        context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 800}, "locale": "en-GB", **options}  # type: ignore[arg-type]  # Playwright's own options
        )
        context.set_default_timeout(WAIT_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "console",
            lambda message: (
                errors.append(message.text)
                if message.type == "error" and "Content Security Policy" in message.text
                else None
            ),
        )
        page.on("dialog", lambda dialog: errors.append(f"dialog: {dialog.message}"))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []


def address_of(city: City, view: str = "") -> str:
    """Return the address of a view of the page."""
    return f"http://127.0.0.1:{city.port}/#/{view}"


def wait_until(page: Page, expression: str) -> Any:  # noqa: ANN401 - JSON
    """Return what ``expression`` is once it is true.

    Playwright's own way of waiting needs ``eval``, which the page's policy forbids.
    """
    deadline_s = time.monotonic() + WAIT_MS / 1000
    while not (found := page.evaluate(expression)):
        assert time.monotonic() < deadline_s, expression
        page.wait_for_timeout(20)
    return found


def keep_picture(page: Page, name: str) -> None:
    """Keep a picture of the page for the documentation, if somebody asked for that.

    Set ``LSM_SCREENSHOTS`` to the folder.
    """
    folder = os.environ.get("LSM_SCREENSHOTS")
    if not folder:
        return
    page.evaluate("scrollTo(0, 0)")
    page.evaluate("document.activeElement.blur()")
    wait_until(page, "[...document.images].every((one) => one.complete)")
    png = np.frombuffer(page.screenshot(animations="disabled"), np.uint8)
    image = cv2.imdecode(png, cv2.IMREAD_COLOR)
    assert image is not None
    path = Path(folder) / f"page-{name}.webp"
    cv2.imwrite(str(path), image, [cv2.IMWRITE_WEBP_QUALITY, 82])
