"""The page with two hundred cameras, in a real browser on the same machine.

    python -m benchmarks.bench_page --cameras 200

First how long it takes from the address to what is to be seen, with an empty cache; then
whether it stutters while every camera brings a picture each ten seconds and somebody scrolls:
frames by the clock, and processor time of the page's main thread, in which neighbours count
little. The daemon's HTTP side is the real one; it and the browser share the cores.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from lsm_monitor.types import CameraId, WaterLevel
from tests.browser.city import City, Place
from tests.browser.conftest import CHROMIUM, LAUNCH_ARGUMENTS, wait_until

INTERVAL_S = 10.0
_THREAD = ("TaskDuration", "ScriptDuration")
_LEVELS = (
    WaterLevel.FLOODED,
    WaterLevel.PONDING,
    *[WaterLevel.WET] * 8,
    *[WaterLevel.DRY] * 40,
)
_WATCH = """() => {
    const mine = window.frames_ms = [];
    let last = performance.now();
    const tick = (now) => {
        mine.push(now - last);
        last = now;
        if (window.frames_ms === mine) requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
}"""
_CLOCK = """
const tick = () => {
    const cards = [...document.querySelectorAll(".card")];
    if (cards.length) window.wall_ms ??= performance.now();
    const isDone = cards.length > 0 && cards.every((card) => {
        const image = card.querySelector("img");
        return card.getBoundingClientRect().top > innerHeight
            || image && image.complete && image.naturalWidth > 0;
    });
    if (isDone) window.pictures_ms = performance.now();
    else requestAnimationFrame(tick);
};
requestAnimationFrame(tick);
"""
_TIMES = """() => window.pictures_ms && [
    performance.getEntriesByName("first-contentful-paint")[0].startTime,
    window.wall_ms, window.pictures_ms]"""


def places(count: int) -> dict[str, Place]:
    """Return that many cameras at four rendered streets; one in fifty is flooded."""
    return {
        f"cam-{i}" if i else "bridge": Place(
            f"Camera {i}",
            _LEVELS[i % len(_LEVELS)],
            i % 4,
            where=(30 + i % 20 / 99, 120 + i / 999),
        )
        for i in range(count)
    }


def first_paint(browser: Browser, address: str, rounds: int) -> None:
    """Print how long it takes until something, and until everything in view is seen."""
    found = []
    for _ in range(rounds):
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        context.add_init_script(_CLOCK)
        page = context.new_page()
        spent_s = thread_times(page)
        page.goto(address, wait_until="commit")
        times_ms = wait_until(page, _TIMES)
        spent = spent_s()
        found.append([*times_ms, *(1000 * spent[name] for name in _THREAD)])
        context.close()
    names = (
        "first contentful paint",
        "the wall, with all cameras",
        "all pictures in view",
        "until then, processor time of the main thread",
        "of this, script",
    )
    for column, name in enumerate(names):
        times_ms = sorted(row[column] for row in found)
        print(f"| {name} | {statistics.median(times_ms):.0f} | {times_ms[-1]:.0f} |")


def thread_times(page: Page) -> Callable[[], dict[str, float]]:
    """Return what tells the processor time of the page's main thread so far, in seconds."""
    browser_side = page.context.new_cdp_session(page)
    browser_side.send("Performance.enable", {"timeDomain": "threadTicks"})

    def spent_s() -> dict[str, float]:
        metrics = browser_side.send("Performance.getMetrics")["metrics"]
        return {each["name"]: each["value"] for each in metrics}

    return spent_s


def stutter(page: Page, seconds: float, *, is_scrolled: bool) -> None:
    """Print how even frames come while news comes in, and what that costs the page."""
    spent_s = thread_times(page)
    page.evaluate(_WATCH)
    before, started_s = spent_s(), time.monotonic()
    while time.monotonic() < started_s + seconds:
        if is_scrolled:
            down = int(time.monotonic() - started_s) % 4 < 2  # noqa: PLR2004 - there and back
            page.mouse.wheel(0, 240 if down else -240)
        page.wait_for_timeout(100)
    after, took_s = spent_s(), time.monotonic() - started_s
    frames_ms = sorted(page.evaluate("window.frames_ms"))
    cost = {name: 100 * (after[name] - before[name]) / took_s for name in _THREAD}
    p99_ms = frames_ms[int(len(frames_ms) * 0.99)]
    print(
        f"| {'scrolled' if is_scrolled else 'still'} | {len(frames_ms) / took_s:.0f} "
        f"| {statistics.median(frames_ms):.1f} | {p99_ms:.0f} | {frames_ms[-1]:.0f} "
        f"| {cost['TaskDuration']:.1f} | {cost['ScriptDuration']:.1f} |"
    )


def bring_news(city: City, names: list[CameraId], stop: threading.Event) -> None:
    """Have each camera bring a picture per interval until ``stop``."""
    levels = {CameraId(name): place.level for name, place in places(len(names)).items()}
    while True:
        for camera_id in names:
            if stop.wait(INTERVAL_S / len(names)):
                return
            city.look(camera_id)
            city.judge(camera_id, levels[camera_id])


def wait_for_picture(city: City, camera_id: CameraId) -> None:
    """Return once the gallery has a picture of the camera."""
    pause = threading.Event()
    while camera_id not in city.page.gallery.versions():
        pause.wait(0.01)


def main() -> None:
    """Measure and print two tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cameras", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    names = [CameraId(name) for name in places(options.cameras)]
    with (
        tempfile.TemporaryDirectory() as folder,
        City(Path(folder), places=places(options.cameras)) as city,
        sync_playwright() as playwright,
    ):
        for camera_id in names:  # one by one: what waits for the gallery is bounded
            city.look(camera_id)
            wait_for_picture(city, camera_id)
        address = f"http://127.0.0.1:{city.port}/"
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=LAUNCH_ARGUMENTS)
        print("| until | median, ms | worst, ms |\n|---|---|---|")
        first_paint(browser, address, options.rounds)
        stop = threading.Event()
        news = threading.Thread(target=bring_news, args=(city, names, stop))
        news.start()
        print("\n| page | frames/s | median, ms | p99 | worst | thread, % | script, % |")
        print("|---|---|---|---|---|---|---|")
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(address)
        page.wait_for_selector(".card")
        stutter(page, options.seconds, is_scrolled=False)
        page.mouse.move(400, 500)
        stutter(page, options.seconds, is_scrolled=True)
        stop.set()
        news.join()
        browser.close()


if __name__ == "__main__":
    main()
