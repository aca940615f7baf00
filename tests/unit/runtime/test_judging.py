from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from lsm_engines.plans import PlanKey, PlanStore
from lsm_monitor.config.models import CameraConfig, ModelConfig
from lsm_monitor.inference.segmenter import Segmenter
from lsm_monitor.runtime.judging import batch_deadline_s, judge_of, open_segmenter
from lsm_monitor.types import CameraId, FrameStamp, WaterMask, WaterState


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
