"""A clip of a camera's own packets plays where operators look at it."""

from __future__ import annotations

import base64
from fractions import Fraction

import pytest
from playwright.sync_api import Browser

from lsm_monitor.capture.clip import clip_of
from lsm_monitor.capture.packet_ring import CodedPacket, CodedStream
from lsm_monitor.demo.clip import TICKS_PER_S, encode_clip
from tests.reading import street

pytestmark = [pytest.mark.slow]

PLAY = """async source => {
    const video = document.createElement("video");
    video.muted = true;
    video.src = source;
    await video.play();
    await new Promise((done, failed) => { video.onended = done; video.onerror = failed; });
    return [video.videoWidth, video.videoHeight, video.duration, video.currentTime];
}"""


def test_a_clip_plays_to_its_end_in_chromium(browser: Browser) -> None:
    coded = encode_clip([street(3 * i) for i in range(20)], fps=10, gop_s=0.5)
    packets = [
        CodedPacket(
            b"".join(b"\x00\x00\x00\x01" + nal for nal in unit.nal_units),
            # As in the middle of a stream: times do not begin at zero.
            unit.pts_ticks + 10**9,
            unit.is_key,
            arrived_s=0.0,
        )
        for unit in coded.access_units
    ]
    clip = clip_of(CodedStream("h264", Fraction(1, TICKS_PER_S), b""), packets)
    page = browser.new_page()
    source = "data:video/mp4;base64," + base64.b64encode(clip).decode()
    width, height, duration_s, played_s = page.evaluate(PLAY, source)
    page.close()
    assert (width, height) == (128, 96)
    assert (duration_s, played_s) == (pytest.approx(2.0, abs=0.05), pytest.approx(2.0, abs=0.2))
