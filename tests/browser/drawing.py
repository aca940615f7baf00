"""What somebody does in the editor."""

from __future__ import annotations

from playwright.sync_api import Page, expect


def draw(page: Page, corners: list[tuple[float, float]]) -> None:
    """Draw a zone with the mouse, corner by corner, and close it at the first one."""
    page.locator('[data-add="zone"]').click()
    box = page.locator(".ed-canvas svg").bounding_box()
    assert box is not None
    for x, y in [*corners, corners[0]]:
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])


def save(page: Page) -> None:
    """Confirm the review that is open."""
    page.locator("[data-save]").click()
    expect(page.locator(".ed-told").first).to_contain_text("Saved and in use")
    expect(page.locator("dialog.ed-review")).to_have_count(0)
