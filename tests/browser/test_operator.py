"""What an operator does with the page, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from lsm_monitor.publish.event_archive import EpisodeRecord, EventArchive
from lsm_monitor.types import CameraId, WaterLevel
from tests.browser.city import PLACES, City
from tests.browser.conftest import NewPage, address_of, keep_picture, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def wall(city: City, open_page: NewPage) -> Page:
    page = open_page(address_of(city))
    expect(page.locator(".card")).to_have_count(len(PLACES))
    return page


def test_the_wall_begins_with_the_worst_camera_and_says_how_bad_it_is(wall: Page) -> None:
    first = wall.locator(".card").first
    expect(first).to_contain_text("Wensan underpass")
    expect(first.locator(".badge")).to_have_text("Flooded")
    expect(first).to_contain_text("34%")
    expect(first).to_contain_text("15\N{EN DASH}25 cm")
    expect(first).to_contain_text("rising 3.2 pp/min")
    expect(wall.locator(".card .badge").nth(2)).to_have_text("Unknown")
    expect(wall.locator(".picture img")).to_have_count(len(PLACES))
    keep_picture(wall, "wall")
    wall.emulate_media(color_scheme="dark")
    keep_picture(wall, "wall-dark")
    wall.get_by_label("Language").select_option("zh-CN")
    keep_picture(wall, "wall-zh")
    wall.set_viewport_size({"width": 390, "height": 780})
    keep_picture(wall, "phone")


def test_a_search_and_a_level_narrow_the_wall(wall: Page) -> None:
    wall.keyboard.press("/")
    wall.keyboard.type("mark")
    expect(wall.locator(".card")).to_have_count(1)
    wall.get_by_role("button", name=re.compile("^Blind")).click()
    expect(wall.get_by_role("heading", name="No camera fits")).to_be_visible()
    wall.get_by_role("button", name="Show all cameras").click()
    expect(wall.locator(".card")).to_have_count(len(PLACES))


def test_a_camera_shows_what_it_sees_and_what_it_saw(wall: Page) -> None:
    wall.get_by_role("link", name="Wensan underpass").last.click()
    picture = wall.locator(".live img")
    expect(picture).to_have_attribute("src", re.compile("kind=overlay"))
    wait_until(wall, "document.querySelector('.live img').naturalWidth > 0")
    wall.get_by_role("button", name="Mask").click()
    expect(picture).to_have_attribute("src", re.compile("kind=mask"))
    wall.get_by_role("button", name="Overlay").click()
    curve = wall.get_by_role("img", name=re.compile("^Highest: 4[0-9]% .Flooded."))
    expect(curve).to_be_visible()
    wall.get_by_role("slider", name="Time").press("Home")
    expect(wall.locator(".readout")).to_contain_text("0% · Dry")
    expect(wall.locator(".evidence img")).to_have_count(1)
    wall.set_viewport_size({"width": 1280, "height": 1120})
    keep_picture(wall, "camera")


def test_a_camera_that_goes_blind_while_it_is_watched_is_not_drawn_as_before(
    city: City, open_page: NewPage
) -> None:
    camera_id = CameraId("station")
    seen = city.judge(camera_id, WaterLevel.DRY)
    page = open_page(address_of(city, "camera/station"))
    expect(page.locator(".band .level-dry")).to_have_count(1)
    expect(page.locator(".band .level-unknown")).to_have_count(0)
    blind = replace(
        seen, level=WaterLevel.UNKNOWN, water_fraction=None, since=city.clock.now(), trend=None
    )
    city.overview.on_states([blind])
    expect(page.locator(".band .level-unknown")).to_have_count(1)
    city.judge(camera_id, WaterLevel.DRY)


def test_what_was_seen_stays_on_the_curve_however_long_the_page_is_open(
    city: City, open_page: NewPage
) -> None:
    page = open_page("about:blank")

    def keep_three(route: Route) -> None:
        script = route.fetch()
        text = script.text().replace("MOST_LIVE = 5000", "MOST_LIVE = 3")
        route.fulfill(response=script, body=text)

    page.route("**/views/history.js", keep_three)
    page.goto(address_of(city, "camera/bridge"))
    expect(page.locator(".readout")).to_be_visible()
    for level in (WaterLevel.SEVERE, *[WaterLevel.DRY, WaterLevel.WET] * 3):
        state = city.judge(CameraId("bridge"), level)
        city.history.record([state])
        city.history.flush()
        expect(page.locator(".live .badge")).to_have_text(level.capitalize())
    curve = page.locator(".timeline svg")
    expect(curve).to_have_accessible_name(re.compile("^Highest: 62% .Severe."))
    city.judge(CameraId("bridge"), WaterLevel.DRY)


def test_the_map_leads_to_a_camera_and_names_those_without_a_place(
    city: City, open_page: NewPage
) -> None:
    page = open_page(address_of(city, "map"))
    expect(page.locator(".spot")).to_have_count(7)
    expect(page.locator(".unplaced")).to_have_text("Tram depot")
    keep_picture(page, "map")
    spot = page.get_by_role("link", name="Harbour Road: Ponding")
    before = _middle(spot)
    page.mouse.move(*before)
    for _ in range(5):
        page.mouse.wheel(0, -300)
    expect(page.locator(".scale text")).not_to_have_text("1 km")
    assert _middle(spot) == pytest.approx(before, abs=1.0)  # it zooms around the pointer
    spot.click()
    expect(page.get_by_role("heading", name="Harbour Road")).to_be_visible()


def _middle(spot: Locator) -> tuple[float, float]:
    box = spot.locator(".dot").bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_a_flood_is_acknowledged_and_judged_without_leaving_the_page(
    city: City, open_page: NewPage
) -> None:
    event_id = city.flood(CameraId("market"), WaterLevel.PONDING)
    page = open_page(address_of(city))
    alarm = page.locator(".alarm-line", has_text="Old Market")
    alarm.get_by_role("button", name="Acknowledge").click()
    expect(alarm).to_contain_text("Acknowledged by somebody")
    expect(page.locator("#announcer")).to_have_text("")  # it is no news
    page.get_by_role("link", name="All floods, with evidence").click()
    flood = page.locator(f"[data-episode='{event_id}']")
    flood.get_by_text("What was it really?").click()
    flood.get_by_label("Wet road only").check()
    flood.get_by_label("Note").fill("<b>a sprinkler</b>")
    keep_picture(page, "floods")
    flood.get_by_role("button", name="Save judgement").click()
    expect(flood.locator(".verdicts")).to_contain_text(
        "Wet road only \N{EN DASH} <b>a sprinkler</b>"
    )
    told = city.get(f"/api/episodes/{event_id}").json
    assert told["acknowledged"] is not None
    assert [each["verdict"] for each in told["feedback"]] == ["wet_only"]
    city.dry_up(CameraId("market"))
    expect(flood.locator(".status")).to_have_text("over")


def test_a_flood_that_ended_and_is_not_in_the_history_leaves_the_page(
    city: City, open_page: NewPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    event_id = city.flood(CameraId("tram"), WaterLevel.PONDING)
    page = open_page(address_of(city, "episodes"))
    flood = page.locator(f"[data-episode='{event_id}']")
    expect(flood).to_be_visible()

    def nothing(_: EventArchive, event_ids: Collection[UUID]) -> dict[UUID, EpisodeRecord]:
        return {each: EpisodeRecord(each, (), frozenset(), None, ()) for each in event_ids}

    monkeypatch.setattr(EventArchive, "episodes", nothing)
    city.dry_up(CameraId("tram"))
    expect(flood).to_have_count(0)


def test_a_new_flood_is_announced_and_moves_its_camera_up(city: City, wall: Page) -> None:
    camera_id = CameraId("bridge")
    city.flood(camera_id, WaterLevel.SEVERE)
    expect(wall.locator("#announcer")).to_have_text("Severe: Bridge Street, lane")
    expect(wall.locator(".card").first).to_contain_text("Bridge Street")
    expect(wall).to_have_title("(3) west")
    city.dry_up(camera_id)
    expect(wall).to_have_title("(2) west")


def test_a_flood_that_comes_back_is_announced_again_in_the_same_words(
    city: City, wall: Page
) -> None:
    camera_id = CameraId("bridge")
    wall.evaluate("""() => {
        window.heard = [];
        new MutationObserver(() => window.heard.push(announcer.textContent.trim())).observe(
            announcer, {subtree: true, childList: true, characterData: true});
    }""")
    for _ in range(3):
        city.flood(camera_id, WaterLevel.SEVERE)
        expect(wall).to_have_title("(3) west")
        city.dry_up(camera_id)
        expect(wall).to_have_title("(2) west")
    wait_until(wall, "window.heard.length >= 3")
    assert wall.evaluate("window.heard") == ["Severe: Bridge Street, lane"] * 3


def test_a_new_picture_is_shown_without_asking_for_the_page_again(
    city: City, wall: Page
) -> None:
    picture = wall.locator("[data-camera=wensan] img")
    before = picture.get_attribute("src")
    city.look(CameraId("wensan"))
    expect(picture).not_to_have_attribute("src", before or "")


def test_one_changed_camera_redraws_one_card(city: City, wall: Page) -> None:
    wall.evaluate("""() => {
        window.touched = new Set();
        new MutationObserver((records) => {
            for (const { target } of records) {
                const card = (target.closest ? target : target.parentElement).closest(".card");
                const isAge = (target.closest ? target : target.parentElement).closest(".age");
                if (card && !isAge) window.touched.add(card.dataset.camera);
            }
        }).observe(document.querySelector(".cards"),
                   {subtree: true, childList: true, characterData: true, attributes: true});
    }""")
    city.look(CameraId("quay"))
    wait_until(wall, "window.touched.size > 0")
    assert wall.evaluate("[...window.touched]") == ["quay"]


def test_an_old_picture_does_not_look_like_a_new_one(city: City, wall: Page) -> None:
    city.judge(CameraId("tram"), WaterLevel.DRY)
    tram = wall.locator("[data-camera=tram]")
    expect(tram.get_by_text("Old picture")).to_have_count(0)
    city.judge(CameraId("tram"), WaterLevel.DRY, age=timedelta(minutes=5))
    expect(tram.get_by_text("Old picture")).to_be_visible()
    expect(tram.locator(".age")).to_have_text("5 min ago")


def test_the_page_works_with_the_keyboard_alone(city: City, wall: Page) -> None:
    wall.keyboard.press("Tab")
    expect(wall.get_by_text("Skip to the content")).to_be_focused()
    wall.keyboard.press("Enter")
    expect(wall.locator("#main")).to_be_focused()
    wall.keyboard.press("j")
    first = wall.locator(".card a").first
    expect(first).to_be_focused()
    wall.keyboard.press("j")
    wall.keyboard.press("k")
    wall.keyboard.press("Enter")
    expect(wall.get_by_role("heading", name="Wensan underpass")).to_be_visible()
    raw = wall.get_by_role("button", name="Raw picture")
    expect(raw).to_be_visible()
    wall.keyboard.press("2")
    expect(raw).to_have_attribute("aria-pressed", "true")
    wall.keyboard.press("Escape")
    expect(wall.locator(".card")).to_have_count(len(PLACES))
    wall.keyboard.press("a")
    expect(wall.locator("[data-acknowledge]").first).to_be_focused()
    wall.keyboard.press("?")
    expect(wall.get_by_role("dialog", name="Help and keys")).to_be_visible()
    wall.get_by_label("Single keys act").uncheck()
    wall.keyboard.press("Escape")
    wall.keyboard.press("m")
    assert wall.url == address_of(city)


def test_a_key_pressed_while_another_view_is_drawn_keeps_the_focus_it_chose(
    wall: Page,
) -> None:
    chosen = wall.evaluate("""() => new Promise((tell) => {
        addEventListener("hashchange", () => {
            const chosen = document.querySelector("header a");
            chosen.focus();
            const drawn = () => tell(document.activeElement === chosen);
            requestAnimationFrame(() => requestAnimationFrame(drawn));
        }, { once: true });
        location.hash = "#/map";
    })""")
    assert chosen is True


def test_a_card_that_moves_keeps_the_keyboards_focus(city: City, wall: Page) -> None:
    link = wall.locator("[data-camera=quay] h3 a")
    link.focus()
    city.flood(CameraId("quay"), WaterLevel.SEVERE)
    expect(wall.locator(".card").first).to_contain_text("River Quay")
    expect(link).to_be_focused()
    city.dry_up(CameraId("quay"))
    city.judge(CameraId("quay"), WaterLevel.WET)
    expect(link).to_be_focused()
