"""Evidence of a real flood: the daemon as a process, its cameras over RTSP, a real broker."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import itertools
import json
import re
import time
from pathlib import Path
from uuid import UUID

import av
import cv2
import numpy as np
import pytest

from lsm_monitor.demo.clip import Clip
from lsm_monitor.demo.rtsp_server import RtspServer
from lsm_monitor.evidence.store import EvidenceStore
from tests.integration.brokers import Notes, RealBroker
from tests.integration.daemon_process import DaemonProcess, events, wait_for_event
from tests.integration.test_daemon import config_text, street_clip

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def flooded() -> Clip:
    return street_clip(1.0)


def test_a_flood_leaves_pictures_of_both_streams_a_mask_and_a_clip_that_plays(
    tmp_path: Path, broker: RealBroker, notes: Notes, flooded: Clip
) -> None:
    with RtspServer(flooded) as camera, RtspServer(flooded) as main:
        text = config_text(broker, bridge=f"url: {camera.url}, evidence_url: {main.url}")
        clips = "evidence: {clip_mb: 4, clip_before_s: 2, clip_after_s: 1, "
        text = text.replace("evidence: {", clips)
        with DaemonProcess(tmp_path, text) as daemon:
            wait_for_event(notes, "open")
            event = events(notes)[0]
            store, event_id = EvidenceStore(tmp_path / "state"), UUID(str(event["event_id"]))
            notes.wait_until(lambda _: len(store.listing(event_id)) >= 6)
            assert daemon.terminate() == 0
    folder = tmp_path / "state" / "evidence"
    assert event["evidence"] == {
        "snapshot": f"{event_id}/1.jpg",
        "sha256": None,
        "clip": f"{event_id}/1.mp4",
    }
    sidecar = json.loads((folder / str(event_id) / "1.json").read_bytes())
    assert (sidecar["event"], sidecar["missing"]) == (event, [])
    for entry in sidecar["files"]:
        data = (folder / str(event_id) / entry["name"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == entry["sha256"]
    raw = cv2.imread(str(folder / str(event_id) / "1.raw.jpg"))
    mask = cv2.imread(str(folder / str(event_id) / "1.mask.png"), cv2.IMREAD_UNCHANGED)
    assert raw is not None
    assert mask is not None
    assert mask.shape == raw.shape[:2] == (flooded.height_px, flooded.width_px)
    assert 0.2 < np.mean(mask > 0) < 0.9
    with av.open(folder / str(event_id) / "1.mp4") as container:
        assert len(list(container.decode(video=0))) >= 4
    published = notes.on("lsm/v1/test/camera/bridge/snapshot")
    assert (folder / str(event_id) / "1.jpg").read_bytes() in published
    assert list((tmp_path / "state").rglob("*.part")) == []


def test_a_page_that_is_open_shows_the_clip_although_it_comes_after_its_event(
    tmp_path: Path, broker: RealBroker, flooded: Clip
) -> None:
    with RtspServer(flooded) as camera:
        text = config_text(broker, bridge=f"url: {camera.url}")
        clips = "evidence: {clip_mb: 4, clip_before_s: 2, clip_after_s: 3, "
        text = text.replace("evidence: {", clips)
        with DaemonProcess(tmp_path, text) as daemon:
            daemon.wait_for_log("listening on 127.0.0.1 port")
            (port,) = re.findall(r"listening on 127.0.0.1 port (\d+)", daemon.log)
            page = http.client.HTTPConnection("127.0.0.1", int(port), timeout=30.0)
            with contextlib.closing(page):
                page.request("GET", "/api/stream")
                with page.getresponse() as response:
                    # The camera's card says something every second or so.
                    before_s = time.monotonic() + 60.0
                    said = itertools.takewhile(lambda _: time.monotonic() < before_s, response)
                    lines = (line for line in said if line.startswith(b"data: "))
                    told = (json.loads(line[6:]) for line in lines)
                    news = (data["evidence"] for data in told if "event_id" in data)
                    assert any("clip" in {file["kind"] for file in files} for files in news)
            assert daemon.terminate() == 0
