"""What is typed and pressed in the editor: numbers, keys, and a save that takes its time."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.city import City
from tests.browser.conftest import NewPage, address_of, wait_until
from tests.browser.drawing import draw

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


def sketch(page: Page) -> None:
    """Begin a zone and set three corners, without closing it."""
    page.locator("[data-add=zone]").click()
    box = page.locator(".ed-canvas svg").bounding_box()
    assert box is not None
    for x, y in ((0.2, 0.2), (0.6, 0.2), (0.6, 0.6)):
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    expect(page.locator(".ed-sketching")).to_contain_text("So far: 3")


def test_enter_closes_the_zone_that_is_being_drawn(editor: Page) -> None:
    sketch(editor)
    editor.keyboard.press("Enter")
    expect(editor.locator(".ed-sketching")).to_have_count(0)
    expect(editor.locator("[data-item='zones.1']")).to_be_visible()


def test_enter_on_cancel_cancels_the_zone_that_is_being_drawn(editor: Page) -> None:
    sketch(editor)
    editor.get_by_role("button", name="Cancel").press("Enter")
    expect(editor.locator(".ed-sketching")).to_have_count(0)
    expect(editor.locator("[data-item='zones.1']")).to_have_count(0)


def test_enter_in_a_field_leaves_the_zone_that_is_being_drawn_open(editor: Page) -> None:
    sketch(editor)
    editor.get_by_label("Name").first.press("Enter")
    expect(editor.locator(".ed-sketching")).to_contain_text("So far: 3")


def test_a_review_cannot_be_left_while_the_save_is_on_its_way(editor: Page) -> None:
    held: list[Route] = []
    editor.route("**/save", lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks it
    draw(editor, [(0.2, 0.2), (0.6, 0.2), (0.6, 0.6)])
    editor.locator("[data-review]").click()
    editor.locator("[data-save]").click()
    expect(editor.get_by_text("One moment")).to_be_visible()
    for _ in range(3):  # browsers let a dialog prevent one of several only
        editor.keyboard.press("Escape")
    expect(editor.locator("dialog.ed-review")).to_be_visible()
    expect(editor.get_by_role("button", name="Back to drawing")).to_be_disabled()
    assert editor.evaluate("document.querySelector('dialog.ed-review').matches(':modal')")
    [save] = held
    save.fulfill(
        status=503, json={"title": "Service Unavailable", "detail": "the disk is full"}
    )
    expect(editor.locator("dialog [role=alert]")).to_contain_text("the disk is full")
    editor.keyboard.press("Escape")
    expect(editor.locator("dialog.ed-review")).to_have_count(0)
    expect(editor.locator("[data-item='zones.1']")).to_be_visible()
