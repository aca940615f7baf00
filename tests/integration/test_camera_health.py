"""Picture health on real video and on a rendered street, through real H.264."""

from __future__ import annotations

import copy
import io
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from lsm_monitor.capture.quality import QualityCheck, QualityRules
from lsm_monitor.commands import pictures
from lsm_monitor.demo.scene import StreetScene, flood_script
from lsm_monitor.demo.scene_style import SceneStyle
from lsm_monitor.types import HealthCode

Image = npt.NDArray[np.uint8]

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
VIDEOS = sorted((DATA / "videos").glob("*.mp4"))
needs_data = pytest.mark.skipif(not VIDEOS, reason=f"no pictures in {DATA}")
INTERVAL_S = 10.0
BLURRED, MOVED = {(HealthCode.BLURRED,)}, {(HealthCode.CAMERA_MOVED,)}
OBSTRUCTED, FROZEN = {(HealthCode.OBSTRUCTED,)}, {(HealthCode.FROZEN,)}


def half_seconds(path: Path) -> list[Image]:
    """Return a picture of each half second of a video."""
    with av.open(path) as container:
        rate = container.streams.video[0].average_rate
        step = max(1, round(float(rate or 25) / 2))
        frames = container.decode(video=0)
        return [
            np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
            for index, frame in enumerate(frames)
            if index % step == 0
        ]


def key_frames(images: Iterable[Image], gop_pictures: int) -> Iterator[Image]:
    """Encode as cameras do, and decode the key frames."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        options = {"crf": "30", "g": str(gop_pictures), "preset": "ultrafast", "bf": "0"}
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer, "r") as container:
        container.streams.video[0].codec_context.skip_frame = "NONKEY"
        for frame in container.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


class Camera:
    """A check, and the time of its pictures."""

    def __init__(self) -> None:
        self.check = QualityCheck(QualityRules())
        self.time_s = 0.0

    def sees(self, images: Iterable[Image]) -> list[tuple[HealthCode, ...]]:
        codes = []
        for image in images:
            self.time_s += INTERVAL_S
            codes.append(self.check.assess(image, self.time_s).codes)
        return codes

    def would_say(self, images: Iterable[Image]) -> set[tuple[HealthCode, ...]]:
        """Return what would be said, without having seen it."""
        return set(copy.deepcopy(self).sees(images))


@needs_data
@pytest.mark.parametrize("video", VIDEOS, ids=lambda path: path.stem)
def test_ordinary_real_video_is_usable_and_its_faults_are_seen_at_once(video: Path) -> None:
    images = half_seconds(video)
    camera = Camera()
    for _ in range(max(2, -(-60 // len(images)))):
        assert set(camera.sees(images)) == {()}
    width = images[0].shape[1]
    some = images[:4]
    assert camera.would_say(np.roll(image, width // 16, axis=1) for image in some) == MOVED
    if "lot" in video.stem:
        return  # bare asphalt: no structure that blur or a cover could take
    blurred = (cv2.GaussianBlur(i, (0, 0), width / 100) for i in some)
    assert camera.would_say(np.asarray(image, np.uint8) for image in blurred) == BLURRED
    hidden = np.arange(width)[None, :, None] < 0.7 * width
    assert camera.would_say(np.where(hidden, np.uint8(60), i) for i in some) == OBSTRUCTED


@needs_data
def test_no_real_picture_is_unusable_by_itself_and_none_in_colour_is_taken_for_infrared() -> (
    None
):
    for folder in sorted(DATA.glob("*/images")):
        for path in sorted(folder.iterdir())[::8]:
            check = QualityCheck(QualityRules())
            verdict = check.assess(pictures.read_rgb(path), 0.0)
            assert (verdict.codes, verdict.notes) == ((), ()), path


def test_the_demos_flood_never_makes_its_camera_unusable() -> None:
    scene = StreetScene(SceneStyle())
    images = [scene.render(flood_script(t_s), float(t_s))[0] for t_s in range(0, 60, 2)]
    codes = Camera().sees(key_frames(images * 3, 1))
    assert set(codes) == {()}


def test_a_sensor_that_dies_under_a_running_clock_is_frozen_within_three_intervals() -> None:
    """The encoder goes on, and its clock: all else is the same in every key frame."""
    scene = StreetScene(replace(SceneStyle(), rain=0.0))
    live = [scene.render(0.0, 10.0 * number)[0] for number in range(45)]
    group = 5
    shown = [*live, *[live[-1]] * 5]

    def frames() -> Iterator[Image]:
        for number, image in enumerate(shown):
            for _ in range(group):
                with_clock = image.copy()
                text = f"2026-01-01 12:{number:02d}:07"
                cv2.putText(with_clock, text, (9, 22), 0, 0.6, (255, 255, 255), 2)
                yield with_clock

    codes = Camera().sees(key_frames(frames(), group))
    assert set(codes[: len(live)]) == {()}
    assert set(codes[len(live) + 2 :]) == FROZEN
