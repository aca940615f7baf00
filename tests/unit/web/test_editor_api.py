from __future__ import annotations

import asyncio
import http.client
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from fastapi import FastAPI

from lsm_monitor.config.changes import Changes, changes
from lsm_monitor.config.loader import LoadedConfig, load
from lsm_monitor.config.models import HttpConfig
from lsm_monitor.metrics import Metrics
from lsm_monitor.runtime.http import HttpService
from lsm_monitor.runtime.reload import Reloader
from lsm_monitor.runtime.supervisor import Service
from lsm_monitor.runtime.systemd import Notifier
from lsm_monitor.types import CameraId
from lsm_monitor.web import api_editor, problems
from lsm_monitor.web.access import COOKIE, Access
from lsm_monitor.web.editor import Editor
from lsm_monitor.web.sessions import Sessions
from lsm_monitor.web.users import User, Users, write_users
from lsm_monitor.web.workers import Workers
from tests.fakes import FakeClock
from tests.served import Served

SQUARE = [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]]
LEFT = [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]
MAIN = (
    "version: 1\nsite: west\nmqtt: {host: h, username: u, password: hunter-22}\n"
    "inventory: [more.yaml]\n# the river\ncameras:\n  bridge:\n    url: rtsp://192.0.2.1/s\n"
    "    zones:\n      lane: {points: [[0.10, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]]}\n"
)
MORE = "cameras:\r\n  quay: {url: rtsp://192.0.2.2/s}   # no zone yet\r\n"


@dataclass(frozen=True)
class Half:
    """A picture whose left half is water."""

    taken_at: datetime = datetime(2026, 7, 1, tzinfo=UTC)

    @property
    def water(self) -> npt.NDArray[np.bool_]:
        water = np.zeros((90, 160), np.bool_)
        water[:, :80] = True
        return water


class EditorPort(Served):
    """The editor's endpoints on a real port, with a real reload; a context manager."""

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        super().__init__()
        self.main, self.more = folder / "monitor.yaml", folder / "more.yaml"
        self.main.write_text(MAIN)
        self.more.write_bytes(MORE.encode())
        self.clock, self.metrics, self.seen = clock, Metrics(), {CameraId("bridge"): Half()}
        self.adopted: list[Changes] = []
        loaded = load(self.main, {})
        self._config = loaded.config
        users = folder / "users.yaml"
        accounts = {name: User(role=name, password="$argon2id$" + 20 * "x") for name in ROLES}  # type: ignore[arg-type]  # each is a role
        write_users(users, accounts)
        workers = Workers()
        sessions = Sessions(idle_s=1e6, max_s=1e6, clock=clock)
        self.access = Access(
            users=Users(users), sessions=sessions, workers=workers, clock=clock
        )
        self.sessions = {name: sessions.begin(name, user) for name, user in accounts.items()}
        self.reloader = Reloader(
            loaded,
            environ={},
            prepare=lambda _: None,
            adopt=self._adopt,
            on_result=lambda _: None,
            notifier=Notifier({}),
            metrics=self.metrics,
            clock=clock,
        )
        self.app = FastAPI()
        self.editor = Editor(
            self.reloader,
            environ={},
            newest=self.seen.get,
            workers=workers,
            metrics=self.metrics,
            clock=clock,
        )
        self.app.include_router(api_editor.routes(editor=self.editor, access=self.access))
        problems.install(self.app)

    def services(self, on_listening: Callable[[int], None]) -> Sequence[Service]:
        return [HttpService(self.app, HttpConfig(port=0), on_listening=on_listening)]

    def post(
        self, what: str, body: object, *, camera: str = "bridge", role: str = "admin"
    ) -> tuple[int, Any]:
        session_id, session = self.sessions[role]
        headers = {
            "Content-Type": "application/json",
            "Cookie": f"{COOKIE}={session_id}",
            "X-CSRF-Token": session.csrf,
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30.0)
        try:
            connection.request(
                "POST", f"/api/cameras/{camera}/{what}", json.dumps(body), headers
            )
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def reviewed(self, body: object, *, camera: str = "bridge") -> str:
        """Return the token of a review."""
        status, review = self.post("diff", body, camera=camera)
        assert status == 200, review
        return str(review["token"])

    def count(self, outcome: str) -> float:
        return self.metrics.snapshot().get(
            f'lsm_config_edits_total{{outcome="{outcome}"}}', 0.0
        )

    def _adopt(self, loaded: LoadedConfig) -> Changes:
        found = changes(self._config, loaded.config)
        self._config = loaded.config
        self.adopted.append(found)
        return found


ROLES = ("viewer", "operator", "admin")


@pytest.fixture
def port(tmp_path: Path, clock: FakeClock) -> Iterator[EditorPort]:
    with EditorPort(tmp_path, clock) as port:
        yield port


def test_a_preview_reads_the_newest_mask_as_the_judge_would(port: EditorPort) -> None:
    drawing = {
        "zones": {"all": SQUARE, "left": LEFT},
        "gauges": {
            "kerb": {
                "zone": "left",
                "marks": [
                    {"points": [[0.25, 0.5]], "preset": "kerb"},
                    {"points": [[0.75, 0.5]], "depth_cm": 40},
                ],
            }
        },
        "ground": {"points": SQUARE, "metres": [[0, 0], [8, 0], [8, 8], [0, 8]]},
    }
    status, answer = port.post("preview", drawing)
    assert status == 200
    zones = answer["zones"]
    assert zones["all"]["water_fraction"] == pytest.approx(0.5, abs=0.01)
    assert zones["all"]["area_m2"] == pytest.approx(32, rel=0.03)
    assert zones["all"]["depth"] is None
    assert zones["left"]["water_fraction"] == pytest.approx(1.0, abs=0.02)
    assert zones["left"]["depth"] == {"min_cm": 15.0, "max_cm": 40.0}
    assert port.main.read_text() == MAIN


def test_without_zones_the_whole_picture_is_previewed(port: EditorPort) -> None:
    status, answer = port.post("preview", {"zones": {}})
    assert (status, answer["zones"]["full"]["water_fraction"]) == (200, 0.5)


def test_what_is_reviewed_is_saved_and_in_use_and_nothing_else_changes(
    port: EditorPort,
) -> None:
    zones = {"lane": [*SQUARE[:3], [0.2, 0.8]], "left": LEFT}
    status, review = port.post("diff", {"zones": zones, "base": {"zones": {"lane": SQUARE}}})
    assert (status, review["file"], review["writable"]) == (200, "monitor.yaml", True)
    assert port.main.read_text() == MAIN
    status, saved = port.post("save", {"token": review["token"]})
    assert (status, saved) == (200, {"applied": True, "changes": "1 rejudged"})
    left = "[[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]"
    expected = MAIN.replace("[0.1, 0.9]]", "[0.2, 0.8]]") + f"      left: {{points: {left}}}\n"
    assert port.main.read_text() == expected
    assert port.adopted[-1].rejudged == {"bridge"}
    assert list(port.reloader.loaded.config.cameras["bridge"].zones) == ["lane", "left"]
    assert port.count("saved") == 1
    assert [line for line in review["diff"].splitlines() if line[0] in "+-"][2:] == [
        "-      lane: {points: [[0.10, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]]}",
        "+      lane: {points: [[0.10, 0.1], [0.9, 0.1], [0.9, 0.9], [0.2, 0.8]]}",
        f"+      left: {{points: {left}}}",
    ]


def test_what_a_zone_says_beside_its_outline_is_kept(port: EditorPort) -> None:
    of_road = MAIN.replace("0.9]]}", "0.9]], water_share_of: road}")
    port.main.write_text(of_road)
    asyncio.run(port.reloader.reload())
    zones = {"lane": [*SQUARE[:3], [0.2, 0.8]]}
    status, review = port.post("diff", {"zones": zones, "base": {"zones": {"lane": SQUARE}}})
    assert status == 200
    assert port.post("save", {"token": review["token"]})[0] == 200
    assert port.main.read_text() == of_road.replace("[0.1, 0.9]]", "[0.2, 0.8]]")


def test_a_zone_that_is_renamed_keeps_what_it_says_beside_its_outline(port: EditorPort) -> None:
    of_road = MAIN.replace("0.9]]}", "0.9]], water_share_of: road}")
    port.main.write_text(of_road)
    asyncio.run(port.reloader.reload())
    token = port.reviewed({"zones": {"left": SQUARE}, "renamed": {"left": "lane"}})
    assert port.post("save", {"token": token})[0] == 200
    saved = port.reloader.loaded.config.cameras["bridge"].zones
    assert {name: zone.water_share_of for name, zone in saved.items()} == {"left": "road"}


def test_a_camera_of_the_inventory_is_saved_in_its_own_file(port: EditorPort) -> None:
    token = port.reviewed({"zones": {"pier": LEFT}}, camera="quay")
    assert port.post("save", {"token": token}, camera="quay")[0] == 200
    assert port.main.read_text() == MAIN
    points = "{points: [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]}"
    assert port.more.read_bytes().decode() == MORE.replace(
        "/s}", f"/s, zones: {{pier: {points}}}}}"
    )


def test_what_says_the_same_has_nothing_to_save(port: EditorPort) -> None:
    status, review = port.post("diff", {"zones": {"lane": SQUARE}})
    assert (status, review["diff"], review["token"]) == (200, "", "")


@pytest.mark.parametrize(
    ("drawing", "told"),
    [
        ({"zones": {"a": SQUARE[:2]}}, "zones.a.points: a zone needs at least 3 corners"),
        (
            {"zones": {"a": [SQUARE[0], SQUARE[2], SQUARE[1], SQUARE[3]]}},
            "zones.a.points: the outline crosses or touches itself",
        ),
        ({"zones": {"a": [[0, 0], [1.5, 0], [0, 1]]}}, "zones.a.points: corner [1.5, 0] lies"),
        (
            {"zones": {"a": [[0, 0], [0.5, 0], [1, 0]]}},
            "zones.a.points: the corners lie in one",
        ),
        ({"zones": {"A b": SQUARE}}, "zones.A b: must match"),
        ({"zones": {"a": SQUARE}, "gauges": {"g": {"zone": "b"}}}, "gauges.g: write either"),
        (
            {"zones": {"a": SQUARE}, "ground": {"points": LEFT, "sides_m": [1, 1, 1, 9]}},
            "ground: write either 'metres' or both",
        ),
        ({"zones": {"a": [[float("nan"), 0], [1, 0], [1, 1]]}}, "finite number"),
        ({"zones": {"a": SQUARE}, "url": "rtsp://h/1"}, "Extra inputs are not permitted"),
    ],
)
def test_a_shape_that_cannot_be_is_named_with_what_is_wrong(
    port: EditorPort, drawing: dict[str, Any], told: str
) -> None:
    for what in ("preview", "diff"):
        status, problem = port.post(what, drawing)
        assert (status, problem["status"]) == (422, 422)
        assert told in problem["detail"]
    assert port.main.read_text() == MAIN


def test_what_somebody_else_drew_meanwhile_is_not_written_over(port: EditorPort) -> None:
    drawing = {"zones": {"mine": LEFT}, "base": {"zones": {"lane": SQUARE}}}
    token = port.reviewed(drawing)
    theirs = MAIN.replace("[0.9, 0.9]", "[0.8, 0.8]")
    port.main.write_text(theirs)
    status, problem = port.post("save", {"token": token})
    assert status == 409
    assert "monitor.yaml: was changed by somebody else meanwhile" in problem["detail"]
    status, problem = port.post("diff", drawing)
    assert status == 409
    assert "somebody else has drawn 'bridge' anew" in problem["detail"]
    assert port.main.read_text() == theirs
    assert port.count("changed") == 1
    # Whoever has seen that may still have it their way.
    token = port.reviewed({"zones": {"mine": LEFT}})
    assert port.post("save", {"token": token})[0] == 200


def test_a_result_that_would_be_refused_is_never_written(port: EditorPort) -> None:
    token = port.reviewed({"zones": {"mine": LEFT}})
    port.more.write_text("cameras: {quay: {url: nowhere://x}}\n")
    status, problem = port.post("save", {"token": token})
    assert status == 422
    assert "more.yaml:1: cameras.quay.url: scheme 'nowhere'" in problem["detail"]
    assert port.main.read_text() == MAIN
    assert port.count("refused") == 1


def test_a_folder_that_is_not_ours_says_what_to_do_instead(
    port: EditorPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = port.reviewed({"zones": {"mine": LEFT}})

    def read_only(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", read_only)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert port.post("diff", {"zones": {"mine": LEFT}})[1]["writable"] is False
    token = port.reviewed({"zones": {"mine": LEFT}})
    status, problem = port.post("save", {"token": token})
    assert status == 503
    assert "monitor.yaml: cannot be written (Read-only file system)" in problem["detail"]
    assert "sudo patch" in problem["detail"]
    assert port.main.read_text() == MAIN
    assert port.count("read_only") == 1
    monkeypatch.undo()  # the rights are mended; the review still counts
    assert port.post("save", {"token": token})[0] == 200


def test_a_review_holds_for_its_owner_and_camera_once_and_not_for_long(
    port: EditorPort, clock: FakeClock
) -> None:
    token = port.reviewed({"zones": {"mine": LEFT}})
    assert port.post("save", {"token": token}, camera="quay")[0] == 410
    assert port.post("save", {"token": "nonsense"})[0] == 410
    session_id, session = port.sessions["admin"]
    other = port.access.sessions.begin("admin", session.user)
    port.sessions["admin"] = other
    assert port.post("save", {"token": token})[0] == 410
    port.sessions["admin"] = (session_id, session)
    clock.now_s += 899.0
    assert port.post("save", {"token": token})[0] == 200
    assert port.post("save", {"token": token})[0] == 410
    token = port.reviewed({"zones": {"lane": SQUARE}})
    clock.now_s += 900.0
    assert port.post("save", {"token": token})[0] == 410
    assert port.count("expired") == 5


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_only_admins_may_draw(port: EditorPort, role: str) -> None:
    for what, body in (
        ("preview", {"zones": {}}),
        ("diff", {"zones": {}}),
        ("save", {"token": "x"}),
    ):
        assert port.post(what, body, role=role)[0] == 403


def test_a_camera_or_picture_that_is_not_there_is_said(port: EditorPort) -> None:
    for what, body in (
        ("preview", {"zones": {}}),
        ("diff", {"zones": {}}),
        ("save", {"token": "x"}),
    ):
        assert port.post(what, body, camera="nobody")[0] == 404
    status, problem = port.post("preview", {"zones": {}}, camera="quay")
    assert (status, problem["detail"]) == (404, "camera 'quay' has no judged picture yet")


def test_no_password_is_in_a_difference(port: EditorPort) -> None:
    port.main.write_text(
        MAIN.replace("    zones:", "    username: u\n    password: top-secret\n    zones:")
    )
    asyncio.run(port.reloader.reload())
    _, review = port.post("diff", {"zones": {"left": LEFT}})
    assert "password: ***" in review["diff"]
    assert "top-secret" not in review["diff"]
