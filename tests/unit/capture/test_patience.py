from __future__ import annotations

import pytest

from lsm_monitor.capture.patience import Patience
from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.errors import SourceError, SourceStalledError
from lsm_monitor.types import CameraId, HealthCode


def patience() -> Patience:
    url = "rtsp://192.0.2.1/1"
    spec = SourceSpec(CameraId("bridge"), url, None, None, "tcp", "keyframes", 1.0, 5.0, 5.0)
    return Patience(spec, 0.0)


@pytest.mark.parametrize(
    ("keyframe_interval_s", "limit_s"),
    [(None, 30.0), (0.5, 5.0), (20.0, 60.0)],
    ids=["no rhythm known yet", "fast", "slow"],
)
def test_the_limit_follows_the_cameras_own_rhythm(
    keyframe_interval_s: float | None, limit_s: float
) -> None:
    watch = patience()
    watch.picture(100.0)
    watch.packet(100.0 + limit_s, keyframe_interval_s)
    with pytest.raises(SourceStalledError, match=f"could be decoded for {limit_s}") as caught:
        watch.packet(100.1 + limit_s, keyframe_interval_s)
    assert caught.value.code is HealthCode.INVALID_DATA


def send(watch: Patience, packets: int, *, from_s: float, per_s: float) -> float:
    for number in range(packets):
        watch.picture(from_s + number / per_s)
        watch.packet(from_s + number / per_s, 1.0)
    return from_s + packets / per_s


def test_the_fastest_camera_and_a_backlog_of_forty_seconds_are_no_flood() -> None:
    watch = patience()
    end_s = send(watch, 5000, from_s=0.0, per_s=120.0)
    end_s = send(watch, 1000, from_s=end_s + 40.0, per_s=5000.0)
    send(watch, 5000, from_s=end_s, per_s=25.0)


def test_a_camera_that_sends_a_thousand_pictures_per_second_is_a_flood() -> None:
    with pytest.raises(SourceError, match="more than 250 pictures per second") as caught:
        send(patience(), 3001, from_s=0.0, per_s=1000.0)
    assert caught.value.code is HealthCode.INVALID_DATA
