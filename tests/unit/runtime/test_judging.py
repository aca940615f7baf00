from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsm_engines.plans import PlanKey, PlanStore
from lsm_monitor.config.models import CameraConfig, ModelConfig
from lsm_monitor.errors import ConfigError
from lsm_monitor.inference.segmenter import Segmenter
from lsm_monitor.runtime.judging import (
    batch_deadline_s,
    check_road_shares,
    judge_of,
    open_segmenter,
)
from lsm_monitor.types import CameraId, FrameStamp, ModelIdentity, WaterMask, WaterState


def test_whoever_opens_the_model_hears_of_the_plan_that_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, told = PlanKey("encoder", "tensorrt", {}), list[str]()

    def build_a_plan(_bundle: str, *, plans: PlanStore, **_: object) -> None:
        plans.obtain(key, Path.touch)

    monkeypatch.setattr(Segmenter, "open", build_a_plan)  # a real one would take a minute
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path))
    open_segmenter(ModelConfig(), max_batch=1, on_progress=told.append)
    assert told == [f"building plan {key.name}"]
    assert (tmp_path / "plans" / key.name / "plan").exists()


def test_only_where_a_full_batch_is_cheap_a_frame_waits_for_others() -> None:
    assert batch_deadline_s("cpu") == 0.0
    assert 0.0 < batch_deadline_s("cuda") <= 0.05


def judged(camera: CameraConfig, wet_from_row: int, *, frames: int = 1) -> WaterState:
    """Return what a camera's judge believes of pictures whose lower part is water."""
    judge = judge_of(CameraId("bridge"), camera)
    probability = np.zeros((100, 160), np.float32)
    probability[wet_from_row:] = 1.0
    start = datetime(2026, 7, 1, tzinfo=UTC)
    judgement = None
    for i in range(frames):
        t_s = camera.interval_s * i
        at = start + timedelta(seconds=t_s)
        stamp = FrameStamp(CameraId("bridge"), 0, i, t_s, at, t_s)
        judgement = judge.observe(WaterMask(stamp, probability, 0.5, 1.0))
    assert judgement is not None
    return judgement.states[0]


GAUGED = CameraConfig.model_validate(
    {
        "url": "rtsp://192.0.2.1/1",
        "gauges": {
            "kerb": {"marks": [{"line": [[0.1, 0.8], [0.9, 0.8]], "preset": "kerb"}]},
            "pole": {
                "staff": {"bottom": [0.5, 1.0], "top": [0.5, 0.0], "top_cm": 100.0},
            },
        },
        "ground": {
            "points": [[0, 0], [1, 0], [1, 1], [0, 1]],
            "metres": [[0, 0], [10, 0], [10, 20], [0, 20]],
        },
    }
)


def test_gauges_and_ground_of_the_file_become_depth_and_area() -> None:
    state = judged(GAUGED, 50)
    assert state.depth is not None
    assert state.depth.min_cm == pytest.approx(50.0, abs=3.0)
    assert state.depth.max_cm == pytest.approx(50.0, abs=3.0)
    assert state.depth.source == "gauge:pole"
    assert state.area_m2 == pytest.approx(100.0)
    (low, high) = (judged(GAUGED, row).depth for row in (95, 85))
    assert low is not None
    assert high is not None
    assert (low.max_cm or 0.0) < 10.0
    assert high.min_cm < 15.0  # the kerb is dry, and the staff agrees


def test_without_gauges_and_ground_there_is_neither() -> None:
    state = judged(CameraConfig(url="rtsp://192.0.2.1/1"), 50)
    assert (state.depth, state.area_m2) == (None, None)


def test_a_slow_camera_is_smoothed_over_its_own_pictures() -> None:
    camera = CameraConfig(url="rtsp://192.0.2.1/1", interval_s=60.0, stale_after_s=300.0)
    judge, start = judge_of(CameraId("bridge"), camera), datetime(2026, 7, 1, tzinfo=UTC)
    fractions = []
    for i, probability in enumerate([0.0] * 8 + [1.0] + [0.0] * 3):
        stamp = FrameStamp(CameraId("bridge"), 0, i, None, start, 60.0 * i)
        mask = WaterMask(stamp, np.full((4, 4), probability, np.float32), 0.5, 1.0)
        fractions.append(judge.observe(mask).states[0].water_fraction)
    assert fractions == [0.0] * 12


LEFT, RIGHT = ((0, 0), (0.5, 0), (0.5, 1), (0, 1)), ((0.5, 0), (1, 0), (1, 1), (0.5, 1))


def test_a_zone_says_itself_what_its_water_is_a_share_of_or_leaves_it_to_the_camera() -> None:
    def of_road(**settings: object) -> set[str]:
        camera = CameraConfig.model_validate({"url": "rtsp://camera/1", **settings})
        return set(camera.zones_of_road)

    zones = {
        "left": {"points": LEFT, "water_share_of": "road"},
        "middle": {"points": LEFT},
        "right": {"points": RIGHT, "water_share_of": "zone"},
    }
    assert of_road() == set()
    assert of_road(water_share_of="road") == {"full"}
    assert of_road(zones=zones) == {"left"}
    assert of_road(zones=zones, water_share_of="road") == {"left", "middle"}


class KnowsWaterAlone:
    knows_roads = False
    identity = ModelIdentity("compact", "1", "0", "torch")


def test_a_share_of_the_road_needs_a_model_that_knows_roads() -> None:
    of_zone = CameraConfig(url="rtsp://camera/1")
    of_road = CameraConfig(url="rtsp://camera/2", water_share_of="road")
    model: Any = KnowsWaterAlone()
    check_road_shares({"a": of_zone}, model)
    with pytest.raises(ConfigError, match=r"cameras\.b: .* 'compact' knows water alone"):
        check_road_shares({"a": of_zone, "b": of_road}, model)
    model.knows_roads = True
    check_road_shares({"b": of_road}, model)


def test_a_judge_counts_the_road_where_the_camera_asks_for_it() -> None:
    camera = CameraConfig(url="rtsp://camera/1", water_share_of="road")
    probability, road = np.zeros((100, 160), np.float32), np.zeros((100, 160), np.bool_)
    probability[90:], road[60:] = 1.0, True
    at = datetime(2026, 7, 1, tzinfo=UTC)
    stamp = FrameStamp(CameraId("bridge"), 0, 0, 0.0, at, 0.0)
    judgement = judge_of(CameraId("bridge"), camera).observe(
        WaterMask(stamp, probability, 0.5, 1.0, road)
    )
    assert judgement.readings[0].instant_fraction == pytest.approx(0.25)
