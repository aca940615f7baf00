"""How fast recorded video is replayed; and pictures of ``replay`` and ``tune`` for the docs.

    python -m benchmarks.bench_replay [--seconds 90] [--pictures docs/img]

Rendered streets with much traffic, each with two floods and a puddle, are encoded as 640x360 at
2 pictures a second, one judged per second. The same clips are replayed with one job and with
two, each in a process that starts anew. With --pictures nothing is measured, but the timeline
of the first and the trade-off of tuning on all of them are written.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import av
import numpy as np

from lsm_monitor.demo.scene import StreetScene, road_zone
from lsm_monitor.demo.scene_style import SceneStyle

FPS = 2
_BUSY = replace(SceneStyle(), cars_per_minute=24.0)
STYLES = (
    _BUSY,
    replace(_BUSY, seed=31, rain=0.0),
    replace(_BUSY, seed=47, daylight=0.6),
    replace(_BUSY, seed=53, rain=0.7),
    replace(_BUSY, seed=59, waves=0.1),
    replace(_BUSY, seed=61, daylight=0.5, rain=0.6),
)
# At which share of the clip water comes, how much of the road it takes, what people call it.
FLOODS = ((0.05, 0.5, "flooded"), (0.38, 0.2, "wet"), (0.68, 0.32, "ponding"))
LASTS = 0.25


def main() -> None:
    """Render, replay, and write pictures if they are wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=90, help="of each clip")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = [write_clip(folder, style, arguments.seconds) for style in STYLES]
        config = write_config(folder)
        if arguments.pictures is not None:
            write_pictures(folder, config, clips, arguments.pictures)
            return
        print(f"| jobs | s for {len(clips)} clips of {arguments.seconds} s | x real time |")
        print("|---|---|---|")
        run("replay", clips[0], "--config", config, "--jobs", 1)  # the contest of engines
        run("replay", *clips[:2], "--config", config, "--jobs", 2)
        for jobs in (1, 2):
            began_s = time.perf_counter()
            run("replay", *clips, "--config", config, "--jobs", jobs)
            took_s = time.perf_counter() - began_s
            seen_s = len(clips) * arguments.seconds
            print(f"| {jobs} | {took_s:.1f} | {seen_s / took_s:.1f} |", flush=True)


def write_clip(folder: Path, style: SceneStyle, seconds: int) -> Path:
    """Write a clip of a street that floods twice."""
    path = folder / f"street-{style.seed}.mp4"
    scene = StreetScene(style)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = style.width_px, style.height_px, "yuv420p"
        for picture in range(FPS * seconds):
            t_s = picture / FPS
            image, _ = scene.render(level_at(t_s / seconds), t_s)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def level_at(share: float) -> float:
    """Return how much of the road is under water, at a share of the clip."""
    level = 0.0
    for begin, most, _ in FLOODS:
        inside = (share - begin) / LASTS
        if 0.0 <= inside <= 1.0:
            level = most * float(
                np.interp(inside, (0.0, 0.2, 0.8, 1.0), (0.02, 1.0, 1.0, 0.02))
            )
    return level


def write_config(folder: Path) -> Path:
    """Write the configuration of a trial: short dwells, and the road as the zone."""
    zone = [[round(x, 3), round(y, 3)] for x, y in road_zone(SceneStyle())]
    config = {
        "version": 1,
        "site": "bench",
        "mqtt": {"host": "localhost"},
        "defaults": {
            "interval_s": 1,
            "smoothing_s": 2,
            "open_for_s": 8,
            "level_up_for_s": 4,
            "close_for_s": 10,
        },
        "cameras": {
            "street": {"url": "rtsp://192.0.2.10/1", "zones": {"road": {"points": zone}}}
        },
    }
    path = folder / "monitor.yaml"
    path.write_text(json.dumps(config, indent=2))
    return path


def write_pictures(folder: Path, config: Path, clips: list[Path], pictures: Path) -> None:
    """Write the timeline of the first clip and the curve of all."""
    run("replay", clips[0], "--config", config, "--camera", "street", "--out", folder / "out")
    labels = folder / "labels.csv"
    with labels.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["video", "from", "to", "level"])
        for clip in clips:
            with av.open(str(clip)) as container:
                length_s = float((container.duration or 0) / av.time_base)
            for begin, _, level in FLOODS:
                times_s = (begin * length_s, (begin + LASTS) * length_s)
                table.writerow([clip.name, *times_s, level])
    with contextlib.suppress(subprocess.CalledProcessError):  # a refusal has its curve, too
        run(
            "tune",
            labels,
            "--config",
            config,
            "--camera",
            "street",
            "--slack",
            3,
            "--max-false-alarms",
            100,
            "--out",
            folder / "tune",
        )
    pictures.mkdir(parents=True, exist_ok=True)
    for source, name in (
        (folder / "out" / f"{clips[0].stem}.timeline.png", "replay-timeline.png"),
        (folder / "tune" / "tune.png", "tune-curve.png"),
    ):
        (pictures / name).write_bytes(source.read_bytes())
        print(pictures / name)


def run(*arguments: object) -> None:
    """Run ``lsm-monitor`` and show what it says to people."""
    command = [sys.executable, "-m", "lsm_monitor", *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603


if __name__ == "__main__":
    main()
