"""From ``scripts/demo`` to an acknowledged alarm and a drawn zone, by the page alone."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import NewPage, keep_picture
from tests.browser.drawing import draw, save

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_FLOODS_WITHIN_MS = 150_000


@pytest.fixture
def address() -> Iterator[str]:
    """Start the demo as somebody in a terminal does; return the address that it tells."""
    # A shell's background job ignores SIGINT, and so would our child.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, "-m", "lsm_monitor", "demo", "--stay"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    told = (re.search(r"look at it: (http://\S+)", line) for line in process.stderr)
    found = next((match[1] for match in told if match), None)
    assert found is not None
    yield found
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130


def test_a_newcomer_acknowledges_the_flood_and_draws_a_zone(
    address: str, open_page: NewPage
) -> None:
    page = open_page(address)
    alarm = page.get_by_role("button", name="Acknowledge Rendered street, road")
    alarm.wait_for(timeout=_FLOODS_WITHIN_MS)
    alarm.click()
    expect(page.locator(".alarm-line")).to_contain_text("Acknowledged by")
    expect(page.locator(".card")).to_contain_text(re.compile("cm.*rising", re.DOTALL))
    page.get_by_role("link", name="Rendered street").last.click()
    expect(page.locator(".evidence img").first).to_be_visible()
    page.get_by_role("button", name="1 h").click()
    expect(page.get_by_role("img", name=re.compile("^Highest: "))).to_be_visible()
    keep_picture(page, "demo")
    page.get_by_role("link", name="Edit zones").click()
    page.locator(".ed-canvas img").wait_for()
    draw(page, [(0.35, 0.7), (0.65, 0.7), (0.65, 0.85), (0.35, 0.85)])
    page.locator("[data-review]").click()
    expect(page.locator(".ed-diff .added")).not_to_have_count(0)
    save(page)
