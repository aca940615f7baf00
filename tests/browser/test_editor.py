"""A zone is drawn on the page, saved, and judged by: real daemon, real model, real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect
from pydantic import ValidationError

from lsm_monitor.config.zones import ZoneConfig
from lsm_monitor.demo.clip import encode_clip
from lsm_monitor.demo.rtsp_server import RtspServer
from lsm_monitor.demo.scene import StreetScene
from lsm_monitor.demo.scene_style import SceneStyle
from tests.browser.conftest import NewPage, keep_picture
from tests.browser.drawing import draw, save
from tests.integration.brokers import Notes, RealBroker
from tests.integration.daemon_process import DaemonProcess
from tests.integration.test_service import port_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SEEN_MS = 60_000
LANE = (
    "      lane: {points: [[0.10, 0.55], [0.9, 0.55], [0.9, 0.95], [0.1, 0.95]]}"
    "   # both sides\n"
)
# Where the rendered street is under water, and where it is not.
PUDDLE = [(0.35, 0.7), (0.65, 0.7), (0.65, 0.85), (0.35, 0.85)]


class EditedDaemon:
    """The daemon in front of a flooded street, with its configuration on disk."""

    def __init__(self, folder: Path, daemon: DaemonProcess, notes: Notes) -> None:
        self.file = folder / "monitor.yaml"
        self.notes = notes
        self.address = f"http://127.0.0.1:{port_of(daemon)}/#/camera/street/edit"

    def wait_for_zone(self, zone: str) -> dict[str, Any]:
        """Return the first decision about ``zone``; before it the zone is told as unknown."""
        topic = f"lsm/v1/test/camera/street/zone/{zone}/state"

        def decisions() -> list[dict[str, Any]]:
            states = [json.loads(payload) for payload in self.notes.on(topic) if payload]
            return [state for state in states if state["level"] != "unknown"]

        self.notes.wait_until(lambda _: len(decisions()) > 0, timeout_s=60.0)
        return decisions()[0]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EditedDaemon]:
    scene = StreetScene(SceneStyle())
    clip = encode_clip((scene.render(0.7, 20 + i / 4)[0] for i in range(8)), fps=4)
    folder = tmp_path_factory.mktemp("daemon")
    with RtspServer(clip) as camera, RealBroker() as broker:
        text = (
            "version: 1\nsite: test\nstate_dir: state\nhttp: {port: 0}\n"
            f"mqtt: {{host: 127.0.0.1, port: {broker.port}}}\n"
            "model: {backend: torch}\n"
            "# the street in front of the school\ncameras:\n  street:\n"
            f"    url: {camera.url}\n    interval_s: 1\n    zones:\n{LANE}"
        )
        with broker.subscriber("lsm/#") as notes, DaemonProcess(folder, text) as process:
            edited = EditedDaemon(folder, process, notes)
            edited.wait_for_zone("lane")
            yield edited


@pytest.fixture
def editor(daemon: EditedDaemon, open_page: NewPage) -> Page:
    page = open_page(daemon.address)
    expect(page.locator(".ed-canvas img")).to_be_visible(timeout=SEEN_MS)
    expect(page.locator('[data-reading="lane"]')).to_contain_text("water", timeout=SEEN_MS)
    return page


def zone(page: Page, index: int) -> Locator:
    return page.locator(f'[data-item="zones.{index}"]')


def drag(page: Page, thing: Locator, right: float, down: float) -> None:
    """Drag the middle of ``thing`` by shares of the picture."""
    picture, box = page.locator(".ed-canvas svg").bounding_box(), thing.bounding_box()
    assert picture is not None
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for part in (0.3, 1.0):
        page.mouse.move(
            x + part * right * picture["width"], y + part * down * picture["height"]
        )
    page.mouse.up()


def test_a_zone_is_drawn_reviewed_and_saved_and_the_next_decision_uses_it(
    daemon: EditedDaemon, editor: Page
) -> None:
    before = daemon.file.read_text()
    draw(editor, PUDDLE)
    zone(editor, 1).get_by_label("Name").fill("puddle")
    expect(editor.locator('[data-reading="puddle"]')).to_contain_text(
        re.compile(r"\d+\s?% water")
    )
    keep_picture(editor, "editor")
    editor.locator("[data-review]").click()
    expect(editor.locator(".ed-diff .added")).to_have_count(1)
    expect(editor.locator(".ed-diff .added")).to_contain_text("+      puddle: {points: [[0.3")
    keep_picture(editor, "editor-review")
    save(editor)
    decision = daemon.wait_for_zone("puddle")
    assert decision["zone"] == "puddle"
    assert decision["water"]["fraction"] is not None
    after = daemon.file.read_text()
    assert after.startswith(before)
    assert re.fullmatch(
        r"      puddle: \{points: \[(\[0\.\d+, 0\.\d+\](, )?){4}\]\}\n", after[len(before) :]
    )


def test_a_corner_is_moved_by_keys_and_by_touch_on_a_phone(
    daemon: EditedDaemon, open_page: NewPage
) -> None:
    page = open_page(daemon.address, viewport={"width": 390, "height": 800}, has_touch=True)
    corner = page.locator('[data-corner="zones.0.points.0"]')
    expect(corner).to_have_accessible_name(
        re.compile("Corner 1 of lane, at 10"), timeout=SEEN_MS
    )
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    corner.focus()
    page.keyboard.press("Shift+ArrowRight")
    expect(corner).to_have_accessible_name(re.compile("at 13"))
    page.keyboard.press("Insert")
    expect(zone(page, 0)).to_contain_text("5 corners")
    page.keyboard.press("Delete")
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    expect(corner).to_have_accessible_name(re.compile("at 10"))
    expect(page.locator("[data-review]")).to_be_disabled()
    page.locator('[data-add="zone"]').tap()
    box = page.locator(".ed-canvas svg").bounding_box()
    assert box is not None
    for x, y in ((0.2, 0.2), (0.8, 0.2), (0.8, 0.4)):
        page.touchscreen.tap(box["x"] + x * box["width"], box["y"] + y * box["height"])
    page.locator("[data-done]").tap()
    expect(page.get_by_label("Name").last).to_have_value("zone-1")
    keep_picture(page, "editor-phone")


def test_a_corner_is_dragged_and_an_edge_pulled_out_as_one_step_each(editor: Page) -> None:
    corner = editor.locator('[data-corner="zones.0.points.0"]')
    drag(editor, corner, 0.1, -0.1)
    expect(corner).to_have_accessible_name(re.compile("at 20% from the left, 45%"))
    drag(editor, editor.locator(".ed-edge").first, 0.0, -0.05)
    expect(zone(editor, 0)).to_contain_text("5 corners")
    editor.locator("[data-undo]").click()
    expect(zone(editor, 0)).to_contain_text("4 corners")
    drag(editor, corner, 2.0, 2.0)
    expect(corner).to_have_accessible_name(re.compile("at 100% from the left, 100%"))
    for _ in range(2):
        editor.locator("[data-undo]").click()
    expect(editor.locator("[data-undo]")).to_be_disabled()
    expect(corner).to_have_accessible_name(re.compile("at 10% from the left, 55%"))


def test_what_is_wrong_is_said_at_the_shape_and_cannot_be_saved(editor: Page) -> None:
    draw(editor, [(0.1, 0.1), (0.3, 0.3), (0.3, 0.1), (0.1, 0.3)])
    last = editor.locator("[data-item^='zones.']").last
    expect(last).to_contain_text("The outline crosses or touches itself")
    expect(editor.locator(".ed-figure.wrong")).to_have_count(1)
    expect(editor.locator("[data-review]")).to_be_disabled()
    editor.get_by_role("button", name="1 to mend").click()
    expect(last.get_by_label("Name")).to_be_focused()
    editor.locator("[data-undo]").click()
    expect(editor.locator(".ed-figure.wrong")).to_have_count(0)
    editor.locator('[data-add="zone"]').press("Enter")
    last.get_by_label("Name").fill("lane")
    expect(last).to_contain_text("This name is already taken")


def test_gauges_and_ground_are_drawn_and_tell_depth_and_area(
    daemon: EditedDaemon, editor: Page
) -> None:
    editor.locator('[data-add="line"]').click()
    gauge = editor.locator('[data-item="gauges.0"]')
    expect(gauge).to_contain_text("kerb (15 cm)")
    editor.locator('[data-add="ground"]').click()
    expect(editor.locator('[data-reading="lane"]')).to_contain_text("m²")
    editor.get_by_label("1\N{EN DASH}3").fill("99")
    expect(editor.locator('[data-item="ground"]')).to_contain_text("do not meet")
    editor.get_by_label("1\N{EN DASH}3").fill("10.4")
    editor.locator("[data-review]").click()
    expect(editor.locator(".ed-diff .added").first).to_contain_text("gauges:")
    save(editor)
    text = daemon.file.read_text()
    assert "      gauge-1:\n" in text
    assert "preset: kerb" in text
    assert "      diagonal_m: 10.4\n" in text


def test_a_file_changed_meanwhile_is_not_written_over_and_the_drawing_is_kept(
    daemon: EditedDaemon, editor: Page
) -> None:
    draw(editor, [(0.1, 0.1), (0.3, 0.1), (0.3, 0.3)])
    editor.locator("[data-review]").click()
    expect(editor.locator(".ed-diff .added")).to_have_count(1)
    theirs = daemon.file.read_text().replace("# both sides", "# both sides, measured")
    daemon.file.write_text(theirs)
    editor.locator("[data-save]").click()
    expect(editor.locator("dialog [role=alert]")).to_contain_text("changed by somebody else")
    assert daemon.file.read_text() == theirs
    editor.locator("[data-again]").click()
    expect(editor.locator("dialog [role=alert]")).to_have_count(0)
    save(editor)
    assert daemon.file.read_text().startswith(theirs[: theirs.index("measured") + 8])


def test_an_unsaved_drawing_is_there_again_after_looking_at_something_else(
    editor: Page,
) -> None:
    draw(editor, [(0.5, 0.1), (0.7, 0.1), (0.7, 0.3)])
    zones = editor.locator("[data-item^='zones.']")
    count = zones.count()
    editor.get_by_role("link", name="\N{LEFTWARDS ARROW} street").click()
    editor.get_by_role("link", name="Edit zones").click()
    expect(editor.locator(".ed-told").first).to_contain_text("Your unsaved drawing is back")
    expect(zones).to_have_count(count)
    editor.get_by_role("button", name="Discard my changes").click()
    expect(zones).to_have_count(count - 1)


def test_axe_finds_nothing_serious_in_the_editor(editor: Page) -> None:
    editor.locator('[data-add="staff"]').click()
    draw(editor, [(0.1, 0.1), (0.3, 0.3), (0.3, 0.1), (0.1, 0.3)])
    found = []
    for scheme in ("light", "dark"):
        editor.emulate_media(color_scheme=scheme)
        found += _serious(editor)
    assert found == []


def _serious(page: Page) -> list[str]:
    return [
        f"{one['id']}: {node['html'][:150]}"
        for one in Axe().run(page).response["violations"]
        if one["impact"] in {"serious", "critical"}
        for node in one["nodes"]
    ]


def test_the_page_and_the_daemon_agree_on_which_outlines_are_zones(editor: Page) -> None:
    random = Random(7)  # noqa: S311 - no secret
    grid = [0.0, 0.25, 0.5, 1.0]  # coarse: many outlines touch themselves or lie in line
    outlines = [
        [[random.choice(grid), random.choice(grid)] for _ in range(random.randint(2, 6))]
        for _ in range(400)
    ]
    refused_by_page = editor.evaluate(
        """async (outlines) => {
            const { problemsOf } = await import("/static/editor_checks.js");
            const { figuresOf } = await import("/static/editor_drawing.js");
            return outlines.map((points) => {
                const drawing = { zones: [{ name: "a", points }], gauges: [], ground: null };
                return problemsOf(drawing, figuresOf(drawing)).length > 0;
            });
        }""",
        outlines,
    )
    differing = [
        outline
        for outline, is_refused in zip(outlines, refused_by_page, strict=True)
        if is_refused != _is_refused(outline)
    ]
    assert differing == []


def _is_refused(points: list[list[float]]) -> bool:
    try:
        ZoneConfig.model_validate({"points": points})
    except ValidationError:
        return True
    return False
