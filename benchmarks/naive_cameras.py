"""The contender of ``bench_hundred_cameras.py``: cameras as they are usually read.

    python -m benchmarks.naive_cameras rtsp://127.0.0.1:PORT --cameras 4 --interval 10

A thread per camera calls ``VideoCapture.read`` for ever, because a stream that is not read does
not stay live; a loop runs the model, eager PyTorch, on the newest picture of each camera once
per interval. Kind to the contender: one model for all cameras, one thread that runs it, so
neither memory nor threads of PyTorch grow with the cameras.

Prints a line ``CAMERA READ_AT`` for each judged picture: when it was read, in Unix time.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from datetime import UTC, datetime

import cv2
import numpy as np
import numpy.typing as npt

from lsm_monitor.config.models import ModelConfig
from lsm_monitor.runtime.judging import open_segmenter
from lsm_monitor.types import CameraId, Frame, FrameStamp


class Reader(threading.Thread):
    """Reads one camera; ``newest`` is its newest picture, BGR, and when it was read."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url = url
        self.newest: tuple[npt.NDArray[np.uint8], float] | None = None

    def run(self) -> None:
        """Read for ever; a lost stream is opened again."""
        while True:
            capture = cv2.VideoCapture(self._url, cv2.CAP_FFMPEG)
            while True:
                read, image = capture.read()
                if not read:
                    break
                self.newest = np.asarray(image, np.uint8), time.time()
            capture.release()


def main() -> None:
    """Watch the cameras until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--cameras", type=int, required=True)
    parser.add_argument("--interval", type=float, default=10.0)
    arguments = parser.parse_args()
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "rtsp_transport;tcp"
    segmenter = open_segmenter(ModelConfig(backend="torch", device="cpu"), max_batch=1)
    segmenter.warm_up()
    readers = [Reader(f"{arguments.url}/camera-{k}") for k in range(arguments.cameras)]
    for reader in readers:
        reader.start()
    started_s, pause = time.monotonic(), threading.Event()
    due_s = [started_s + arguments.interval * k / len(readers) for k in range(len(readers))]
    while True:
        camera = min(range(len(readers)), key=due_s.__getitem__)
        pause.wait(max(0.0, due_s[camera] - time.monotonic()))
        newest = readers[camera].newest
        if newest is None:  # still opening
            due_s[camera] = time.monotonic() + 0.1
            continue
        image, read_at_s = newest
        stamp = FrameStamp(CameraId("naive"), 0, 0, None, datetime.now(UTC), 0.0)
        rgb = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
        segmenter.segment([Frame(stamp, rgb)])
        print(f"camera-{camera} {read_at_s}", flush=True)
        due_s[camera] = max(due_s[camera] + arguments.interval, time.monotonic())


if __name__ == "__main__":
    main()
