"""Tuning on rendered clips, with the shipped model, from the command line."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path

import av
import pytest
from typer.testing import CliRunner, Result

from lsm_monitor.cli import app
from lsm_monitor.demo.scene import StreetScene
from lsm_monitor.demo.scene_style import SceneStyle

# A threshold that the street never comes to, with comments that must stay.
CONFIG = """\
logging: {level: warning}   # quiet
version: 1
site: my-city
mqtt: {host: localhost}
defaults:
  interval_s: 1   # for trying out
  smoothing_s: 2
  open_for_s: 4
  level_up_for_s: 4
  close_for_s: 5
  levels:
    ponding: {enter: 0.6, leave: 0.5}   # too high
    flooded: {enter: 0.7, leave: 0.55}
    severe: {enter: 0.9, leave: 0.8}
cameras:
  underpass: {url: "rtsp://192.0.2.10/stream1"}
"""
FLOODS_S = ((8, 18), (12, 22), (5, 15))
SWEEP = ("--sweep", "levels.ponding.enter=0.1,0.3", "--sweep", "levels.ponding.leave=0.05")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with three clips of a flood each, their labels and a configuration."""
    folder = tmp_path_factory.mktemp("tune")
    scene = StreetScene(SceneStyle())
    dry, wet = (
        [scene.render(level, float(t_s))[0] for t_s in range(30)] for level in (0.0, 0.7)
    )
    rows = ["video,from,to,level"]
    for number, (from_s, to_s) in enumerate(FLOODS_S):
        rows.append(f"clip-{number}.mp4,0:{from_s},0:{to_s},flooded")
        with av.open(str(folder / f"clip-{number}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=1, options={"preset": "ultrafast"})
            stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
            for t_s in range(30):
                image = (wet if from_s <= t_s < to_s else dry)[t_s]
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode(None))
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    (folder / "monitor.yaml").write_text(CONFIG)
    return folder


def tune(folder: Path, *options: str) -> Result:
    labels, config, out = (str(folder / name) for name in ("labels.csv", "monitor.yaml", "out"))
    return CliRunner().invoke(
        app,
        [
            "tune",
            labels,
            "--config",
            config,
            "--out",
            out,
            "--slack",
            "2",
            "--jobs",
            "1",
            *SWEEP,
            *options,
        ],
    )


def test_too_few_floods_are_no_ground_and_the_floor_of_the_caller_is_obeyed(
    folder: Path,
) -> None:
    result = tune(folder)
    assert result.exit_code == 69
    assert "3 floods in 3 videos; label at least 10 floods in 3 videos" in result.stderr
    assert not (folder / "out" / "tune.diff").exists()


def test_a_threshold_that_finds_the_floods_is_proposed_as_a_diff_that_patch_applies(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune(folder)
    # The model has seen the clips: from here on it is not needed.
    monkeypatch.setattr("lsm_monitor.commands.tune.open_segmenter", None)
    result = tune(folder, "--min-floods", "3", "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert (report["now"]["misses"], report["best"]["misses"]) == (3, 0)
    assert report["best"]["false_alarms"] == report["best_held_out"]["false_alarms"] == 0
    assert report["best_held_out"]["misses"] == 0
    assert report["best"]["settings"]["levels.ponding.enter"] in {0.1, 0.3}
    with (folder / "out" / "tune.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == report["settings_tried"]
    assert (folder / "out" / "tune.png").read_bytes().startswith(b"\x89PNG")
    diff = (folder / "out" / "tune.diff").read_text()
    assert report["diff"] == diff
    subprocess.run(["patch", "-p0"], input=diff, text=True, cwd=folder, check=True)  # noqa: S607
    after = (folder / "monitor.yaml").read_text()
    (folder / "monitor.yaml").write_text(CONFIG)
    for comment in ("# quiet", "# for trying out", "# too high"):
        assert comment in after
    assert "ponding: {enter: 0.6" not in after
    assert "flooded: {enter: 0.7, leave: 0.55}" in after


def test_a_label_of_a_video_that_is_not_there_is_told(folder: Path) -> None:
    labels = folder / "absent.csv"
    labels.write_text("video,from,to\nabsent.mp4,1,2\n")
    result = CliRunner().invoke(
        app, ["tune", str(labels), "--config", str(folder / "monitor.yaml")]
    )
    assert "absent.mp4: No such file or directory" in str(result.exception)
