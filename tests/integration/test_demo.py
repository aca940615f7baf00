"""``lsm-monitor demo`` as a newcomer runs it."""

from __future__ import annotations

import io
import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def demo(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "lsm_monitor", "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_whole_episode_arrives_in_order_and_the_demo_ends_by_itself() -> None:
    process = demo("--json")
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert len({event["event_id"] for event in events}) == 1
    kinds = [event["event_type"] for event in events]
    assert (kinds[0], kinds[-1]) == ("open", "close")
    severity = [event["severity"] for event in events]
    assert max(severity[:-1]) > severity[0]  # a level up ...
    assert any(a > b for a, b in itertools.pairwise(severity[:-1]))  # ... and down
    height = severity.index(max(severity))
    # The first pictures may be too few for a trend: on a busy machine they come far apart.
    assert "rising" in {event["water"]["trend"] for event in events[: height + 1]}
    assert events[-2]["water"]["trend"] == "falling"
    for event in (events[0], events[-2]):
        assert event["water"]["depth_cm"]["source"] == "gauge:gutter"
    deepest_cm = max(event["water"]["depth_cm"]["min"] for event in events)
    assert 10.0 < deepest_cm < 60.0  # 59.6 cm at the height of the flood
    assert f"{len(events)} events arrived, in order" in err


def test_an_interrupt_ends_the_demo_at_once(
    make_video: Callable[..., io.BytesIO], tmp_path: Path
) -> None:
    # A shell's background job ignores SIGINT, and so would our child.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    video = tmp_path / "own.mp4"  # nothing to be rendered first
    video.write_bytes(make_video().getvalue())
    process = demo("--seconds", "600", "--video", str(video))
    assert process.stderr is not None
    for line in process.stderr:
        if "daemon online" in line:
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130


def test_a_video_that_is_none_is_an_error_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "notes.mp4"
    path.write_text("not a video")
    process = demo("--video", str(path))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 69
    assert "notes.mp4" in err
