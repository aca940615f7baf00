"""Replay on real clips and on clips that are made here."""

from __future__ import annotations

import csv
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from lsm_monitor.commands.replay import Moment, Replay, ReplayResult, event_line
from lsm_monitor.commands.replay_files import READINGS_COLUMNS
from lsm_monitor.commands.replay_many import replay_videos
from lsm_monitor.config.loader import LoadedConfig, load
from lsm_monitor.demo.scene import StreetScene
from lsm_monitor.demo.scene_style import SceneStyle
from lsm_monitor.demo.scene_survey import survey
from lsm_monitor.errors import ConfigError, SourceEndedError, SourceOpenError

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config" / "monitor.minimal.yaml"
VIDEOS = ROOT.parent / "shared" / "data" / "videos"
needs_videos = pytest.mark.skipif(
    not VIDEOS.is_dir(), reason=f"real clips are not there: put them into {VIDEOS}"
)
Image = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def minimal() -> LoadedConfig:
    return load(CONFIG, {})


@pytest.fixture(scope="module")
def replay(minimal: LoadedConfig) -> Iterator[Replay]:
    replay = Replay(minimal, camera=None)
    yield replay
    replay.close()


def run(replay: Replay, video: Path) -> tuple[list[dict[str, Any]], ReplayResult]:
    payloads: list[bytes] = []
    result = replay.run(video, lambda moment: payloads.extend(moment.payloads))
    return [json.loads(payload) for payload in payloads], result


@needs_videos
@pytest.mark.parametrize("video", sorted(VIDEOS.glob("flood_*.mp4")), ids=lambda p: p.stem)
def test_a_flooded_street_opens_an_episode(replay: Replay, video: Path) -> None:
    told, _ = run(replay, video)
    assert [(event["event_type"], event["seq"]) for event in told][:1] == [("open", 1)]


@needs_videos
@pytest.mark.parametrize("video", sorted(VIDEOS.glob("dry_*.mp4")), ids=lambda p: p.stem)
def test_a_dry_street_tells_nothing(replay: Replay, video: Path) -> None:
    assert run(replay, video)[0] == []


@pytest.fixture(scope="module")
def images() -> list[Image]:
    """40 s of the rendered street: dry, flooded from the 10th to the 24th second."""
    scene = StreetScene(SceneStyle())
    return [scene.render(1.0 if 10 <= t_s < 24 else 0.0, float(t_s))[0] for t_s in range(40)]


def encode(path: Path, images: list[Image], **options: str) -> Path:
    """Write ``images`` as H.264, one per second, four to a key frame."""
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("libx264", rate=1)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        stream.codec_context.gop_size = 4
        stream.options = {"preset": "ultrafast"}
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def rising_water(images: list[Image], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("video")
    return encode(folder / "Bridge #2 (night).mp4", images, movflags="faststart")


def test_dwell_runs_on_the_clock_of_the_video_and_the_same_video_tells_the_same(
    replay: Replay, rising_water: Path
) -> None:
    told, result = run(replay, rising_water)
    assert [event["event_type"] for event in told] == ["open", "close"]
    assert {event["camera"] for event in told} == {"bridge-2-night"}
    seconds = [event["observed_at"][17:23] for event in told]
    opened_s, closed_s = (float(second) for second in seconds)
    # Opens open_for_s = 4 s after the water; closes close_for_s = 10 s after it is gone.
    assert 10 <= (closed_s - opened_s) % 60 <= 24
    assert (result.frames, result.problem, result.is_complete) == (40, None, True)
    again, _ = run(replay, rising_water)
    for event in told + again:
        event.pop("event_id")
    assert told == again


def test_a_gauge_of_the_camera_tells_how_deep_the_flood_was(
    rising_water: Path, tmp_path: Path
) -> None:
    marks = [
        {"points": [spot], "depth_cm": depth_cm}
        for spot, depth_cm in survey(SceneStyle()).marks
    ]
    # JSON is YAML; the camera is the last thing in the file.
    gauges = json.dumps({"gutter": {"marks": marks}})
    path = tmp_path / "gauged.yaml"
    path.write_text(f"{CONFIG.read_text().rstrip()}\n    gauges: {gauges}\n")
    gauged = Replay(load(path, {}), camera="underpass")
    moments: list[Moment] = []
    gauged.run(rising_water, moments.append)
    gauged.close()
    payloads = [payload for moment in moments for payload in moment.payloads]
    lines = [event_line(payload) for payload in payloads]
    assert "underpass/full open" in lines[0]
    assert "over 23.6 cm" in lines[0]  # higher than the highest mark: 59.6 cm in truth
    assert "0-3.5 cm" in lines[-1]


def test_a_change_that_is_pending_is_looked_at_more_often(
    rising_water: Path, tmp_path: Path
) -> None:
    path = tmp_path / "slow.yaml"
    slow = "interval_s: 6, fast_interval_s: 2, smoothing_s: 2"
    path.write_text(CONFIG.read_text().replace("interval_s: 1, smoothing_s: 2", slow))
    moments: list[Moment] = []
    slow_replay = Replay(load(path, {}), camera=None)
    slow_replay.run(rising_water, moments.append)
    slow_replay.close()
    for before, after in itertools.pairwise(moments):
        gap_s = after.stamp.decoded_mono_s - before.stamp.decoded_mono_s
        assert gap_s == pytest.approx(2.0 if before.judgement.is_pending else 6.0)
    assert any(moment.judgement.is_pending for moment in moments)


def test_a_camera_that_is_not_configured_is_refused(minimal: LoadedConfig) -> None:
    with pytest.raises(ConfigError, match="there is no camera 'x'"):
        Replay(minimal, camera="x")


@pytest.mark.parametrize("share", [0, 6], ids=["no video", "its index was never written"])
def test_a_video_that_cannot_be_opened_is_named(
    replay: Replay, images: list[Image], tmp_path: Path, share: int
) -> None:
    video = encode(tmp_path / "street.mp4", images[:8])
    data = video.read_bytes()
    video.write_bytes(data[: len(data) * share // 10] or b"not a video")
    with pytest.raises(SourceOpenError, match=r"street\.mp4: it is no video, or was cut off"):
        run(replay, video)


def test_an_empty_folder_says_that_nothing_was_judged(replay: Replay, tmp_path: Path) -> None:
    with pytest.raises(SourceEndedError, match="no picture in it could be decoded"):
        run(replay, tmp_path)


def cut(data: bytes) -> bytes:
    return data[: len(data) * 6 // 10]


def scratch(data: bytes) -> bytes:
    middle, length = len(data) // 2, len(data) // 20
    noise = np.random.default_rng(0).integers(0, 256, length, dtype=np.uint8).tobytes()
    return data[:middle] + noise + data[middle + length :]


@pytest.mark.parametrize(
    ("name", "damage", "problem"),
    [
        ("a.mp4", cut, "of its pictures or packets are damaged"),
        ("a.mkv", cut, "it says that it is 40.0 s long, and ends after"),
        ("a.ts", scratch, "of its pictures or packets are damaged"),
        ("a.h264", bytes, "it has no timestamps"),
    ],
    ids=["mp4 cut off", "mkv cut off", "ts damaged in the middle", "without timestamps"],
)
def test_what_can_be_read_of_a_damaged_video_is_replayed_and_the_damage_told(
    *,
    replay: Replay,
    images: list[Image],
    tmp_path: Path,
    name: str,
    damage: Callable[[bytes], bytes],
    problem: str,
) -> None:
    path = encode(tmp_path / name, images, movflags="faststart")
    path.write_bytes(damage(path.read_bytes()))
    told, result = run(replay, path)
    assert result.problem is not None
    assert str(path) in result.problem
    assert problem in result.problem
    assert result.frames_usable > 1
    assert [event["event_type"] for event in told][:1] == ["open"] * (name != "a.h264")


@pytest.fixture(scope="module")
def in_torch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a configuration whose model needs no contest of engines per process."""
    path = tmp_path_factory.mktemp("config") / "monitor.yaml"
    path.write_text(f"model: {{backend: torch}}\n{CONFIG.read_text()}")
    return path


def test_two_jobs_tell_what_one_tells_and_write_every_file(
    in_torch: Path, rising_water: Path, images: list[Image], tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "notes.mp4").write_text("not a video")
    twin = encode(tmp_path / "other" / rising_water.name, images)
    os.utime(twin, ns=(0, rising_water.stat().st_mtime_ns))
    told: dict[Path, list[dict[str, Any]]] = {rising_water: [], twin: []}
    lines: list[str] = []
    out = tmp_path / "out"
    complete = replay_videos(
        load(in_torch, {}),
        [tmp_path / "notes.mp4", rising_water, twin],
        camera=None,
        out_dir=out,
        jobs=2,
        on_event=lambda video, payload: told[video].append(json.loads(payload)),
        on_line=lines.append,
    )
    assert not complete
    assert any("notes.mp4" in line for line in lines)
    assert lines[-1].startswith("2 of 3 videos to their end: 78 s of video in ")
    for event in (*told[rising_water], *told[twin]):
        event.pop("event_id")
    assert told[rising_water] == told[twin]
    for stem in (rising_water.stem, f"{rising_water.stem}-2"):
        events = (out / f"{stem}.events.jsonl").read_text().splitlines()
        assert [json.loads(line)["event_type"] for line in events] == ["open", "close"]
        with (out / f"{stem}.readings.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 40
        assert tuple(rows[0]) == READINGS_COLUMNS
        assert {row["level"] for row in rows} == {"dry", "flooded"}
        assert (out / f"{stem}.timeline.png").read_bytes().startswith(b"\x89PNG")
        page = (out / f"{stem}.timeline.html").read_text()
        assert "<svg" in page
        assert "close #2" in page
        assert "<script" not in page


def test_an_interrupt_keeps_what_was_done(
    in_torch: Path, images: list[Image], tmp_path: Path
) -> None:
    video = encode(tmp_path / "long.mkv", images * 10)
    out = tmp_path / "out"
    child = subprocess.Popen(  # noqa: S603 - this Python
        [
            *(sys.executable, "-m", "lsm_monitor", "replay", video, "--config", in_torch),
            *("--out", out, "--json"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    first = json.loads(child.stdout.readline())  # the first flood is told while it goes on
    child.send_signal(signal.SIGINT)
    rest, errors = child.communicate(timeout=60)
    assert child.returncode == 130
    assert first["event_type"] == "open"
    assert "stopped; what came before is kept" in errors
    written = (out / "long.events.jsonl").read_text().splitlines()
    assert [json.dumps(json.loads(line)) for line in written] == [
        json.dumps(event) for event in (first, *map(json.loads, rest.splitlines()))
    ]
    assert len((out / "long.readings.csv").read_text().splitlines()) < 400
    assert (out / "long.timeline.html").exists()
