"""Cameras as the page is told of them, over a real port."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from lsm_monitor.types import (
    CameraHealth,
    CameraId,
    HealthCode,
    HealthState,
    WaterLevel,
    WaterState,
    ZoneId,
)
from lsm_monitor.web import hub as hub_module
from tests.web_daemon import BRIDGE, SQUARE, STARTED_AT, WebDaemon

Events = Iterator[tuple[str, dict[str, object]]]


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[WebDaemon]:
    second = {
        "url": "rtsp://192.0.2.2/s",
        "title": "立交桥",
        "location": {"lat": 30, "lon": 120},
    }
    with WebDaemon(tmp_path, cameras={"second": second}) as daemon:
        yield daemon


def stream(daemon: WebDaemon) -> tuple[Events, Callable[[], None]]:
    """Return what a page is told from now on, and what closes it."""
    connection = daemon.connection()
    connection.request("GET", "/api/stream")
    response = connection.getresponse()
    assert (response.status, response.getheader("Content-Type")) == (
        200,
        "text/event-stream; charset=utf-8",
    )

    def events() -> Events:
        name = ""
        for line in response:
            if line.startswith(b"event: "):
                name = line[7:].decode().strip()
            elif line.startswith(b"data: "):
                yield name, json.loads(line[6:])

    def close() -> None:
        response.close()
        connection.close()

    return events(), close


def card_of(
    daemon: WebDaemon, camera: str, until: Callable[[dict[str, object]], bool]
) -> object:
    """Return the camera's card as soon as it is as wanted; streams say when to look."""
    told, close = stream(daemon)
    assert next(told)[0] == "hello"
    try:
        for card in daemon.get("/api/cameras").json["cameras"]:
            if card["id"] == camera and until(card):
                return card
        return next(
            card
            for name, card in told
            if name == "camera" and card["id"] == camera and until(card)
        )
    finally:
        close()


def test_a_card_has_the_worst_zone_and_every_zone(fresh: WebDaemon) -> None:
    fresh.see(WaterLevel.FLOODED, 0.25)
    card = card_of(fresh, "bridge", lambda card: card["level"] == "flooded")
    assert isinstance(card, dict)
    assert (card["severity"], card["water_fraction"]) == (2, 0.25)
    assert card["zones"]["lane"]["confidence"] == 0.9
    assert card["health"]["state"] == "starting"
    assert card["interval_s"] == 10.0


def test_title_and_place_of_a_camera_are_told(fresh: WebDaemon) -> None:
    card = card_of(fresh, "second", lambda _: True)
    assert isinstance(card, dict)
    assert card["title"] == "立交桥"
    assert card["location"] == {"lat": 30.0, "lon": 120.0}
    assert card["severity"] is None  # not judged yet


def test_all_cameras_come_packed_to_who_can_unpack_them(page: WebDaemon) -> None:
    plain = page.get("/api/cameras")
    packed = page.get("/api/cameras", {"Accept-Encoding": "br, gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(packed.body)) == plain.json


def test_a_page_is_told_every_change(fresh: WebDaemon) -> None:
    told, close = stream(fresh)
    assert next(told)[0] == "hello"
    fresh.see(WaterLevel.WET, 0.03)
    health = CameraHealth(
        CameraId("second"), HealthState.OFFLINE, (HealthCode.STALLED,), "silent", STARTED_AT, 1
    )
    fresh.overview.on_health(health)
    wet: Any = None
    offline: Any = None
    while wet is None or offline is None:  # cards that know less may be told in between
        name, news = next(told)
        assert name == "camera"
        card: Any = news
        wet = card if card["level"] == "wet" else wet
        offline = card if card["id"] == "second" and card["health"]["detail"] else offline
    close()
    assert wet["id"] == "bridge"
    assert offline["health"] == {
        "state": "offline",
        "codes": ["STALLED"],
        "notes": [],
        "detail": "silent",
        "since": "2026-07-01T00:00:00Z",
    }


def test_a_camera_that_is_gone_is_told_and_forgotten(fresh: WebDaemon) -> None:
    card_of(fresh, "second", lambda _: True)
    told, close = stream(fresh)
    assert next(told)[0] == "hello"
    del fresh.config.cameras["second"]
    fresh.overview.watch({BRIDGE: 10.0}, STARTED_AT)
    assert next(event for event in told if event[0] == "gone")[1] == {"id": "second"}
    close()
    assert fresh.get("/api/cameras/second").status == 404


def test_the_last_hour_has_one_point_a_minute(fresh: WebDaemon) -> None:
    now = fresh.clock.now()
    cards = []
    for minutes_ago, fraction in ((90, 0.9), (2, 0.1), (1, 0.2)):
        fresh.see(WaterLevel.PONDING, fraction, at=now - timedelta(minutes=minutes_ago))

        def is_it(card: dict[str, object], wanted: float = fraction) -> bool:
            return card["water_fraction"] == wanted

        cards.append(card_of(fresh, "bridge", is_it))
    newest = cards[-1]
    assert isinstance(newest, dict)
    assert [fraction for _, fraction in newest["spark"]] == [0.1, 0.2]


def test_the_last_hour_survives_a_restart(tmp_path: Path) -> None:
    with WebDaemon(tmp_path) as daemon:
        at = daemon.clock.now() - timedelta(minutes=10)
        lane = WaterState(BRIDGE, ZoneId("lane"), WaterLevel.WET, 0.04, 0.9, at, at)
        daemon.history.record([lane])
        daemon.history.flush()
    with WebDaemon(tmp_path) as daemon:
        card = card_of(daemon, "bridge", lambda card: bool(card["spark"]))
    assert isinstance(card, dict)
    ((minute_s, fraction),) = card["spark"]
    assert (minute_s, fraction) == (int(at.timestamp()) // 60 * 60, 0.04)


def test_the_geometry_is_as_in_the_file(page: WebDaemon) -> None:
    geometry = page.get("/api/cameras/bridge").json["geometry"]
    assert geometry == {"zones": {"lane": SQUARE}, "gauges": {}, "ground": None}


def test_the_newest_picture_is_small_and_shows_the_water(fresh: WebDaemon) -> None:
    fresh.show()
    card = card_of(fresh, "bridge", lambda card: card["picture"] is not None)
    assert isinstance(card, dict)
    answers = {
        kind: fresh.get(f"/api/cameras/bridge/picture.jpg?kind={kind}&v={card['picture']}")
        for kind in ("raw", "overlay", "mask")
    }
    images = {
        kind: np.asarray(cv2.imdecode(np.frombuffer(answer.body, np.uint8), cv2.IMREAD_COLOR))
        for kind, answer in answers.items()
    }
    assert {image.shape for image in images.values()} == {(540, 960, 3)}
    left, right = images["overlay"][270, 100], images["overlay"][270, 800]
    assert int(left[0]) - int(left[2]) > 40  # blue
    assert abs(int(right[0]) - int(right[2])) < 10
    assert (images["mask"][270, 100].min(), images["mask"][270, 800].max()) == (255, 0)
    assert "immutable" in answers["raw"].headers["cache-control"]
    unnamed = fresh.get("/api/cameras/bridge/picture.jpg")
    assert unnamed.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/cameras/nope", 404),
        ("/api/cameras/nope/picture.jpg", 404),
        ("/api/cameras/bridge/picture.jpg", 404),
        ("/api/cameras/bridge/picture.jpg?kind=all", 422),
        ("/api/cameras/UPPER/readings", 422),
        ("/api/cameras/bridge/readings?points=0", 422),
        ("/api/cameras/bridge/readings?start=2026-01-01T00:00:00", 422),
        ("/api/cameras/bridge/readings?end=0001-01-01T00:00:00Z", 422),
        ("/api/cameras/bridge/readings?start=2000-01-01T00:00:00Z", 422),
        ("/api/nothing", 404),
    ],
)
def test_a_wrong_question_gets_a_problem(page: WebDaemon, path: str, status: int) -> None:
    answer = page.get(path)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["status"] == status
    assert answer.json["detail"]


def test_health_is_answered_while_as_many_pages_are_open_as_may_be(fresh: WebDaemon) -> None:
    pages = [stream(fresh) for _ in range(hub_module.MAX_CLIENTS)]
    for told, _ in pages:
        assert next(told)[0] == "hello"
    assert fresh.get("/healthz").status == 200
    refused = fresh.get("/api/stream")
    assert (refused.status, refused.headers["retry-after"]) == (503, "30")
    pages.pop()[1]()
    for _, close in pages:
        close()


def test_stopping_does_not_wait_for_open_pages(tmp_path: Path) -> None:
    ended = threading.Event()
    with WebDaemon(tmp_path) as daemon:
        told, close = stream(daemon)
        assert next(told)[0] == "hello"

        def read() -> None:
            for _ in told:
                continue
            ended.set()

        threading.Thread(target=read, daemon=True).start()
    assert ended.wait(10.0)
    close()
