"""What is typed and pressed in the editor: numbers, keys, and a save that takes its time."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.city import City
from tests.browser.conftest import NewPage, address_of, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def editor(city: City, open_page: NewPage) -> Page:
    page = open_page(address_of(city, "camera/bridge/edit"))
    expect(page.locator("[data-item='zones.0']")).to_be_visible()
    return page


@pytest.mark.parametrize(
    ("typed", "number"),
    [("10.05", 10.05), ("0.05", 0.05), ("-0.5", -0.5), ("500.02", 500.02)],
)
def test_a_number_is_kept_as_it_was_typed_key_by_key(
    editor: Page, typed: str, number: float
) -> None:
    editor.locator("[data-add=ground]").click()
    editor.locator("[data-item=ground] select").select_option("metres")
    field = editor.get_by_label("2 x")
    field.fill("")
    field.press_sequentially(typed)
    expect(field).to_have_value(typed)
    kept = "JSON.parse(sessionStorage.getItem('lsm.editor.bridge')).drawing.ground.metres[1][0]"
    wait_until(editor, f"{kept} === {number}")


def test_a_number_that_is_undone_stands_in_its_field_again(editor: Page) -> None:
    editor.locator("[data-add=ground]").click()
    field = editor.get_by_label("1\N{EN DASH}3")
    expect(field).to_have_value("10.4")
    field.fill("12")
    editor.locator("[data-undo]").click()
    expect(field).to_have_value("10.4")
