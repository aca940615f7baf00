"""Replay on real clips and on a clip that is made here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import pytest

from lsm_monitor.commands.replay import Replay, replay_videos
from lsm_monitor.config.loader import LoadedConfig, load
from lsm_monitor.demo.scene import StreetScene
from lsm_monitor.demo.scene_style import SceneStyle
from lsm_monitor.demo.scene_survey import survey
from lsm_monitor.errors import ConfigError, SourceEndedError, SourceOpenError

ROOT = Path(__file__).parents[2]
VIDEOS = ROOT.parent / "shared" / "data" / "videos"
needs_videos = pytest.mark.skipif(
    not VIDEOS.is_dir(), reason=f"real clips are not there: put them into {VIDEOS}"
)


@pytest.fixture(scope="module")
def minimal() -> LoadedConfig:
    return load(ROOT / "config" / "monitor.minimal.yaml", {})


def events(
    loaded: LoadedConfig, video: Path, camera: str | None = None
) -> list[dict[str, Any]]:
    lines: list[str] = []
    replay_videos(
        loaded, [video], camera=camera, as_json=True, out=lines.append, progress=lambda _: None
    )
    return [json.loads(line) for line in lines]


@needs_videos
@pytest.mark.parametrize("video", sorted(VIDEOS.glob("flood_*.mp4")), ids=lambda p: p.stem)
def test_a_flooded_street_opens_an_episode(minimal: LoadedConfig, video: Path) -> None:
    told = events(minimal, video)
    assert [(event["event_type"], event["seq"]) for event in told][:1] == [("open", 1)]


@needs_videos
@pytest.mark.parametrize("video", sorted(VIDEOS.glob("dry_*.mp4")), ids=lambda p: p.stem)
def test_a_dry_street_tells_nothing(minimal: LoadedConfig, video: Path) -> None:
    assert events(minimal, video) == []


@pytest.fixture(scope="module")
def rising_water(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Encode 40 s of the rendered street: dry, flooded from the 10th to the 24th second."""
    path = tmp_path_factory.mktemp("video") / "Bridge #2 (night).mp4"
    scene = StreetScene(SceneStyle())
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for t_s in range(40):
            image, _ = scene.render(1.0 if 10 <= t_s < 24 else 0.0, float(t_s))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_dwell_runs_on_the_clock_of_the_video(
    minimal: LoadedConfig, rising_water: Path
) -> None:
    told = events(minimal, rising_water)
    assert [event["event_type"] for event in told] == ["open", "close"]
    assert {event["camera"] for event in told} == {"bridge-2-night"}
    seconds = [event["observed_at"][17:23] for event in told]
    opened_s, closed_s = (float(second) for second in seconds)
    # Opens open_for_s = 4 s after the water; closes close_for_s = 10 s after it is gone.
    assert 10 <= (closed_s - opened_s) % 60 <= 24


def test_the_same_video_tells_the_same_but_for_the_id(
    minimal: LoadedConfig, rising_water: Path
) -> None:
    first, second = (events(minimal, rising_water) for _ in range(2))
    for event in first + second:
        event.pop("event_id")
    assert first == second


def test_a_cameras_own_settings_are_used_when_it_is_named(
    minimal: LoadedConfig, rising_water: Path
) -> None:
    told = events(minimal, rising_water, camera="underpass")
    assert {event["camera"] for event in told} == {"underpass"}


def test_a_gauge_of_the_camera_tells_how_deep_the_flood_was(
    rising_water: Path, tmp_path: Path
) -> None:
    text = (ROOT / "config" / "monitor.minimal.yaml").read_text()
    marks = [
        {"points": [spot], "depth_cm": depth_cm}
        for spot, depth_cm in survey(SceneStyle()).marks
    ]
    # JSON is YAML; the camera is the last thing in the file.
    gauges = json.dumps({"gutter": {"marks": marks}})
    path = tmp_path / "gauged.yaml"
    path.write_text(f"{text.rstrip()}\n    gauges: {gauges}\n")
    lines: list[str] = []
    replay_videos(
        load(path, {}),
        [rising_water],
        camera="underpass",
        as_json=False,
        out=lines.append,
        progress=lambda _: None,
    )
    assert "over 23.6 cm" in lines[0]  # higher than the highest mark: 59.6 cm in truth
    assert "0-3.5 cm" in lines[-1]


def test_a_camera_that_is_not_configured_is_refused(minimal: LoadedConfig) -> None:
    with pytest.raises(ConfigError, match="there is no camera 'x'"):
        Replay(minimal, camera="x", on_event=lambda _: None)


def test_a_file_that_is_no_video_is_named(minimal: LoadedConfig, tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("not a video")
    with pytest.raises(SourceOpenError, match=r"notes\.mp4"):
        events(minimal, tmp_path / "notes.mp4")


def test_a_video_that_cannot_be_used_does_not_stop_the_others(
    minimal: LoadedConfig, rising_water: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    lines: list[str] = []
    with pytest.raises(SourceEndedError, match="no picture in it could be decoded"):
        replay_videos(
            minimal,
            [tmp_path / "empty", rising_water],
            camera=None,
            as_json=True,
            out=lines.append,
            progress=lambda _: None,
        )
    assert len(lines) == 2
