"""Who may do what, and what the page does when it loses its daemon or its session."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from lsm_monitor.types import CameraId, WaterLevel
from tests.browser.city import PASSWORD, PLACES, City
from tests.browser.conftest import NewPage, address_of, keep_picture

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    with City(tmp_path_factory.mktemp("guarded"), with_users=True) as city:
        yield city


def log_in(page: Page, user: str, password: str = PASSWORD) -> None:
    page.get_by_label("User").fill(user)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def test_a_login_leads_to_where_one_wanted_to_go(guarded: City, open_page: NewPage) -> None:
    page = open_page(address_of(guarded, "camera/wensan"))
    keep_picture(page, "login")
    log_in(page, "wang", "wrong password")
    expect(page.get_by_role("alert")).to_have_text("User or password is wrong.")
    log_in(page, "wang")
    expect(page.get_by_role("heading", name="Wensan underpass")).to_be_visible()
    expect(page.locator(".person")).to_have_text("wang · operator")
    expect(page.get_by_role("link", name="Edit zones")).to_have_count(0)


def test_an_expired_session_asks_again_and_comes_back(
    guarded: City, open_page: NewPage
) -> None:
    page = open_page(address_of(guarded, "episodes"))
    log_in(page, "wang")
    button = page.get_by_role("button", name="Acknowledge").first
    expect(button).to_be_visible()
    guarded.forget_sessions()
    button.click()
    expect(page.get_by_label("Password")).to_be_visible()
    log_in(page, "wang")
    expect(page.get_by_role("heading", name="Floods")).to_be_visible()
    assert page.url == address_of(guarded, "episodes")


def test_a_viewer_sees_everything_and_is_offered_nothing(
    guarded: City, open_page: NewPage
) -> None:
    page = open_page(address_of(guarded, "episodes"))
    log_in(page, "ann")
    expect(page.locator(".episode").first).to_contain_text("you may look only")
    expect(page.get_by_role("button", name="Acknowledge")).to_have_count(0)
    expect(page.get_by_text("What was it really?")).to_have_count(0)


def test_logging_out_leaves_nothing_behind(guarded: City, open_page: NewPage) -> None:
    page = open_page(address_of(guarded))
    log_in(page, "root")
    expect(page.locator(".card")).to_have_count(len(PLACES))
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Password")).to_be_visible()
    expect(page.locator(".card")).to_have_count(0)


def test_a_lost_connection_is_told_and_what_was_missed_is_caught_up(
    city: City, open_page: NewPage
) -> None:
    page = open_page(address_of(city))
    expect(page.locator(".link.up")).to_have_text("Live")
    expect(page.locator(".picture img").first).to_be_visible()
    page.context.set_offline(True)
    city.hang_up()
    banner = page.get_by_role("alert")
    expect(banner).to_contain_text("Connection lost. What you see is from")
    faded = "getComputedStyle(document.querySelector('.picture img')).filter"
    assert "grayscale" in page.evaluate(faded)
    keep_picture(page, "lost")
    city.flood(CameraId("tram"), WaterLevel.SEVERE)
    page.context.set_offline(False)
    expect(page.locator(".card").first).to_contain_text("Tram depot")
    expect(banner.locator("p")).to_have_count(0)
    city.dry_up(CameraId("tram"))


def test_what_was_missed_stands_on_the_curve_and_among_the_floods_that_are_over(
    city: City, open_page: NewPage
) -> None:
    camera_id = CameraId("quay")
    page = open_page(address_of(city, "camera/quay"))
    expect(page.locator(".link.up")).to_have_text("Live")
    expect(page.get_by_text("No flood at this camera yet")).to_be_visible()
    page.context.set_offline(True)
    city.hang_up()
    expect(page.get_by_role("alert")).to_contain_text("Connection lost.")
    event_id = city.flood(camera_id, WaterLevel.SEVERE)
    city.history.record([city.judge(camera_id, WaterLevel.SEVERE)])
    city.history.flush()
    city.dry_up(camera_id)
    page.context.set_offline(False)
    expect(page.locator(f"[data-episode='{event_id}'] .status")).to_have_text("over")
    curve = page.locator(".timeline svg")
    expect(curve).to_have_accessible_name(re.compile("^Highest: 62% .Severe."))
    city.judge(camera_id, WaterLevel.WET)


def test_floods_that_began_while_the_connection_was_lost_are_announced_together(
    city: City, open_page: NewPage
) -> None:
    page = open_page(address_of(city))
    expect(page.locator(".link.up")).to_have_text("Live")
    page.context.set_offline(True)
    city.hang_up()
    expect(page.get_by_role("alert")).to_contain_text("Connection lost.")
    city.flood(CameraId("tram"), WaterLevel.SEVERE)
    city.flood(CameraId("bridge"), WaterLevel.FLOODED)
    while not {"tram", "bridge"} <= flooded(city):  # as the daemon has told every page
        page.wait_for_timeout(20)
    page.context.set_offline(False)
    announcer = page.locator("#announcer")
    expect(announcer).to_contain_text("Severe: Tram depot, lane")
    expect(announcer).to_contain_text("Flooded: Bridge Street, lane")
    expect(announcer).not_to_contain_text("Wensan")  # which was known
    city.dry_up(CameraId("tram"))
    city.dry_up(CameraId("bridge"))


def flooded(city: City) -> set[str]:
    """Return the cameras of the open floods."""
    return {one["id"] for one in city.get("/api/cameras").json["cameras"] if one["events"]}


def test_a_connection_that_says_nothing_for_too_long_counts_as_lost(
    city: City, open_page: NewPage
) -> None:
    page = open_page("about:blank")
    page.clock.install()
    page.goto(address_of(city))
    expect(page.locator(".link.up")).to_have_text("Live")
    page.context.set_offline(True)  # or it would be back before anybody sees it
    page.clock.fast_forward(41_000)
    expect(page.get_by_role("alert")).to_contain_text("Connection lost.")


def test_an_action_without_a_connection_says_that_nothing_was_done(
    city: City, open_page: NewPage
) -> None:
    page = open_page(address_of(city))
    button = page.get_by_role("button", name="Acknowledge Wensan underpass, lane")
    expect(button).to_be_visible()
    page.context.set_offline(True)
    button.click()
    expect(page.get_by_role("status")).to_contain_text("Nothing was changed")
    expect(button).to_be_enabled()


def test_somebody_elsewhere_is_told_that_there_are_no_users(
    city: City, open_page: NewPage
) -> None:
    # As behind a proxy of this machine.
    page = open_page(address_of(city), extra_http_headers={"X-Forwarded-For": "10.1.2.3"})
    expect(page.get_by_role("alert")).to_contain_text("only this machine itself may look")
    expect(page.get_by_role("alert")).not_to_contain_text("does not answer")


def test_what_a_proxy_answers_is_not_said_to_be_the_daemons_refusal(
    city: City, open_page: NewPage
) -> None:
    page = open_page(address_of(city))
    expect(page.locator(".link.up")).to_have_text("Live")
    page.route("**/api/*", lambda route: route.fulfill(status=502, body="<h1>Bad Gateway"))
    with page.expect_response("**/api/session"):
        city.hang_up()
    expect(page.get_by_role("alert")).to_contain_text("What you see is from")
    expect(page.get_by_role("alert")).not_to_contain_text("refuses")


def test_a_page_too_many_says_so_and_asks_again_when_it_was_told_to(
    city: City, open_page: NewPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_page("about:blank")
    page.clock.install()
    page.add_init_script("""
        window.attempts = 0;
        const real = window.fetch;
        window.fetch = (path, ...more) => {
            window.attempts += path === "api/session";
            return real(path, ...more);
        };""")
    with monkeypatch.context() as full:
        full.setattr("lsm_monitor.web.hub.MAX_CLIENTS", 0)
        page.goto(address_of(city))
        banner = page.get_by_role("alert")
        expect(banner).to_contain_text("64 pages are open already")
        expect(banner).not_to_contain_text("What you see is from")  # it has seen nothing
    page.clock.fast_forward(20_000)
    assert page.evaluate("window.attempts") == 1
    page.clock.fast_forward(11_000)
    expect(page.locator(".link.up")).to_have_text("Live")
    expect(banner.locator("p")).to_have_count(0)


def test_an_action_that_is_not_answered_in_time_says_so(city: City, open_page: NewPage) -> None:
    page = open_page(address_of(city))
    button = page.get_by_role("button", name="Acknowledge Wensan underpass, lane")
    expect(button).to_be_visible()
    # Playwright's clock does not move this one.
    page.evaluate("""() => {
        const real = AbortSignal.timeout;
        AbortSignal.timeout = (ms) => real.call(AbortSignal, ms / 100);
    }""")
    page.route("**/acknowledge", lambda _: None)  # which never ends
    button.click()
    expect(page.get_by_role("status")).to_contain_text("No answer came in time")
    expect(button).to_be_enabled()
