"""How the page looks and to whom: languages, light and dark, phones, screen readers, markup."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.city import EVIL, PLACES, City
from tests.browser.conftest import NewPage, address_of

pytestmark = pytest.mark.slow

VIEWS = ("", "map", "episodes", "camera/wensan", "camera/mill")


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    places = {**PLACES, "quay": replace(PLACES["quay"], title=EVIL)}
    with City(tmp_path_factory.mktemp("city"), places=places) as city:
        yield city


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_any_view(
    city: City, open_page: NewPage, scheme: str
) -> None:
    page = open_page(address_of(city), color_scheme=scheme)
    found = {}
    for view in VIEWS:
        page.goto(address_of(city, view))
        expect(page.locator("main h1, main h2").first).to_be_attached()
        expect(page.get_by_text("Loading", exact=True)).to_have_count(0)
        found[view] = _serious(page)
    page.keyboard.press("?")
    found["help"] = _serious(page)
    assert not any(found.values()), found


def _serious(page: object) -> list[str]:
    violations = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['html'][:120]} {node['any'][:1]}"
        for one in violations
        if one["impact"] in {"serious", "critical"}
        for node in one["nodes"]
    ]


def test_a_chosen_language_is_kept(city: City, open_page: NewPage) -> None:
    page = open_page(address_of(city))
    page.get_by_label("Language").select_option("zh-CN")
    expect(page.get_by_role("link", name="地图")).to_be_visible()
    expect(page.locator(".card .badge").first).to_have_text("积水")
    page.reload()
    expect(page.get_by_role("link", name="地图")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")


def test_the_browsers_language_is_spoken_without_asking(city: City, open_page: NewPage) -> None:
    page = open_page(address_of(city), locale="zh-TW")
    expect(page.get_by_role("link", name="地图")).to_be_visible()


def test_a_chosen_theme_is_kept_and_the_systems_is_taken_before(
    city: City, open_page: NewPage
) -> None:
    page = open_page(address_of(city), color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Colours: Auto").click()
    page.get_by_role("button", name="Colours: Light").click()
    expect(page.get_by_role("button", name="Colours: Dark")).to_be_visible()
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    assert page.evaluate(ground) == dark


@pytest.mark.parametrize("width_px", [320, 390])
def test_a_phone_never_scrolls_sideways(city: City, open_page: NewPage, width_px: int) -> None:
    page = open_page(
        address_of(city), viewport={"width": width_px, "height": 780}, has_touch=True
    )
    for view in VIEWS:
        page.goto(address_of(city, view))
        expect(page.locator("main h1, main h2").first).to_be_attached()
        expect(page.get_by_text("Loading", exact=True)).to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth") <= width_px, view


def test_a_title_is_text_and_never_markup(city: City, open_page: NewPage) -> None:
    page = open_page(address_of(city))
    expect(page.get_by_role("link", name=EVIL)).to_have_text(EVIL)
    page.goto(address_of(city, "map"))
    expect(page.get_by_role("link", name=f"{EVIL}: Wet")).to_be_visible()
    page.goto(address_of(city, "camera/quay"))
    expect(page.get_by_role("heading", name=EVIL)).to_be_visible()
    assert page.locator("img[src=x]").count() == 0


def test_an_empty_installation_says_what_to_do(city: City, open_page: NewPage) -> None:
    page = open_page("about:blank")
    page.route("**/api/cameras", lambda route: route.fulfill(json={"cameras": []}))
    page.goto(address_of(city))
    expect(page.get_by_text("lsm-monitor cameras add")).to_be_visible()


def test_whoever_wants_no_motion_gets_none(city: City, open_page: NewPage) -> None:
    page = open_page(address_of(city), reduced_motion="reduce")
    expect(page.locator(".card")).to_have_count(len(PLACES))
    assert page.evaluate("document.getAnimations().length") == 0


def test_a_second_visit_asks_for_none_of_the_pages_files(
    city: City, open_page: NewPage
) -> None:
    page = open_page(address_of(city))
    expect(page.locator(".card")).to_have_count(len(PLACES))
    page.goto("about:blank")
    page.goto(address_of(city))
    expect(page.locator(".card")).to_have_count(len(PLACES))
    sent = page.evaluate(
        "performance.getEntriesByType('resource')"
        ".filter((one) => one.name.includes('/static/') && one.transferSize > 0)"
        ".map((one) => one.name)"
    )
    assert sent == []
