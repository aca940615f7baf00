from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from lsm_monitor.errors import InferenceError
from lsm_monitor.inference.batch_times import BatchStage, BatchTimes
from lsm_monitor.inference.scheduler import FrameScheduler
from lsm_monitor.inference.worker import InferenceWorker
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import CameraId, Frame, FrameStamp, WaterMask
from tests.fakes import FakeClock


def frame(name: str, clock: FakeClock) -> Frame:
    stamp = FrameStamp(
        CameraId(name), 0, 0, None, datetime(2026, 7, 1, tzinfo=UTC), clock.now_s
    )
    return Frame(stamp, np.zeros((2, 2, 3), np.uint8))


class Segmenter:
    """Fails on every batch that holds a frame of camera ``poison``."""

    def segment(self, frames: Sequence[Frame], times: BatchTimes) -> list[WaterMask]:
        if any(frame.stamp.camera_id == "poison" for frame in frames):
            msg = "bad picture"
            raise InferenceError(msg)
        times.end(BatchStage.ENCODER)
        return [
            WaterMask(frame.stamp, np.zeros((2, 2), np.float32), 0.5, 1.0) for frame in frames
        ]


def test_a_frame_that_breaks_the_model_costs_no_other_camera_its_frame(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    metrics, stop, judged = Metrics(), threading.Event(), list[str]()
    scheduler = FrameScheduler(max_batch=3, metrics=metrics, clock=clock)
    for name in ("a", "poison", "b"):
        scheduler.watch(CameraId(name), interval_s=5.0 / 3)
        scheduler.put(frame(name, clock))
    worker = InferenceWorker(
        scheduler=scheduler,
        segmenter=Segmenter(),
        on_mask=lambda _frame, mask: judged.append(mask.stamp.camera_id),
        on_tick=stop.set,
        metrics=metrics,
        clock=clock,
    )
    worker.run(stop)
    assert judged == ["a", "b"]
    assert metrics.snapshot()['lsm_camera_frames_total{camera="poison",stage="failed"}'] == 1.0
    assert "camera 'poison': the model failed on a frame" in caplog.text


def test_a_camera_that_is_let_go_while_the_model_looks_is_neither_judged_nor_counted(
    clock: FakeClock,
) -> None:
    metrics, stop, judged = Metrics(), threading.Event(), list[str]()
    scheduler = FrameScheduler(max_batch=3, metrics=metrics, clock=clock)

    class Removing(Segmenter):
        def segment(self, frames: Sequence[Frame], times: BatchTimes) -> list[WaterMask]:
            for name in ("b", "poison"):
                scheduler.forget(CameraId(name))
            return super().segment(frames, times)

    for name in ("a", "b", "poison"):
        scheduler.watch(CameraId(name), interval_s=2.0)
        scheduler.put(frame(name, clock))
    InferenceWorker(
        scheduler=scheduler,
        segmenter=Removing(),
        on_mask=lambda _frame, mask: judged.append(mask.stamp.camera_id),
        on_tick=stop.set,
        metrics=metrics,
        clock=clock,
    ).run(stop)
    assert judged == ["a"]
    assert [name for name in metrics.snapshot() if name.startswith("lsm_camera")] == [
        'lsm_camera_frames_total{camera="a",stage="inferred"}'
    ]


def test_a_model_that_is_too_slow_for_the_cameras_makes_their_intervals_longer(
    clock: FakeClock,
) -> None:
    """Four cameras bring a picture every two seconds; the model needs one second for each."""
    metrics, stop, factors = Metrics(), threading.Event(), list[float]()
    cameras = [CameraId(name) for name in "abcd"]
    scheduler = FrameScheduler(max_batch=1, metrics=metrics, clock=clock)
    for camera in cameras:
        scheduler.watch(camera, interval_s=2.0)

    def work_for_a_second() -> None:
        clock.now_s += 1.0
        for camera in cameras:
            scheduler.put(frame(camera, clock))
        if clock.now_s - began_s > 60.0:
            stop.set()

    began_s = clock.now_s
    worker = InferenceWorker(
        scheduler=scheduler,
        segmenter=Segmenter(),
        on_mask=lambda _frame, _mask: None,
        on_tick=work_for_a_second,
        on_stretch=factors.append,
        metrics=metrics,
        clock=clock,
    )
    worker.run(stop)
    assert factors[:2] == [1.5, 1.5 * 1.5]
    assert metrics.snapshot()["lsm_interval_stretch_ratio"] == factors[-1]


def test_a_daemon_that_has_judged_nothing_yet_says_so_in_numbers(clock: FakeClock) -> None:
    """The alarm that nothing is judged is silent where there is no number at all."""
    metrics = Metrics()
    InferenceWorker(
        scheduler=FrameScheduler(max_batch=1, metrics=metrics, clock=clock),
        segmenter=Segmenter(),
        on_mask=lambda _frame, _mask: None,
        on_tick=lambda: None,
        metrics=metrics,
        clock=clock,
    )
    text = (Path(__file__).parents[3] / "docs" / "prometheus-alerts.yaml").read_text()
    (watched,) = re.findall(r"LsmNothingIsJudged\n +expr: rate\((\S+)\[10m\]\) == 0", text)
    assert metrics.snapshot()[watched] == 0.0


def test_the_time_of_a_batch_is_told_by_stage_and_of_a_failed_one_not_at_all(
    clock: FakeClock,
) -> None:
    """Two pictures in one call; of the two engine calls inside it, each stage's time is one."""

    class SlowSegmenter(Segmenter):
        def segment(self, frames: Sequence[Frame], times: BatchTimes) -> list[WaterMask]:
            for _call in range(2):
                for stage, seconds in zip(BatchStage, (0.25, 1.0, 0.5, 0.125), strict=True):
                    clock.now_s += seconds
                    times.end(stage)
            return super().segment(frames, times)

    metrics, stop = Metrics(), threading.Event()
    scheduler = FrameScheduler(max_batch=2, metrics=metrics, clock=clock)
    for name in ("a", "b"):
        scheduler.watch(CameraId(name), interval_s=5.0)
        scheduler.put(frame(name, clock))

    def bring_a_bad_one() -> None:
        if stop_next:
            stop.set()
        stop_next.append(True)
        scheduler.watch(CameraId("poison"), interval_s=5.0)
        scheduler.put(frame("poison", clock))

    stop_next = list[bool]()
    worker = InferenceWorker(
        scheduler=scheduler,
        segmenter=SlowSegmenter(),
        on_mask=lambda _frame, _mask: None,
        on_tick=bring_a_bad_one,
        metrics=metrics,
        clock=clock,
    )
    worker.run(stop)
    samples, name = metrics.snapshot(), "lsm_inference_duration_seconds"
    stages = ("preprocess", "encoder", "decoder", "post")
    sums = [samples[f'{name}_sum{{stage="{stage}"}}'] for stage in stages]
    counts = [samples[f'{name}_count{{stage="{stage}"}}'] for stage in stages]
    assert (sums, counts) == ([0.5, 2.0, 1.0, 0.25], [1.0] * 4)
