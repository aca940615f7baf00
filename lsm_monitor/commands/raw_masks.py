"""What the model saw in a video, kept: judging it again with other settings takes no model.

Belief about pixels depends on settings (``smoothing_s``), so masks are kept and not readings:
one bit per pixel, compressed, some hundred bytes per picture. A file is used as long as video,
model and interval are the same; a folder of them may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zipfile import BadZipFile

import cv2
import numpy as np
import numpy.typing as npt

from lsm_monitor.commands.recording import Recording
from lsm_monitor.config.models import CameraConfig
from lsm_monitor.errors import StoreError
from lsm_monitor.inference.segmenter import Segmenter
from lsm_monitor.types import CameraId, Frame, FrameStamp, WaterMask

_FORMAT = "lsm-monitor masks 1"


@dataclass(frozen=True, slots=True, eq=False)
class RawMasks:
    """The masks of one video.

    Attributes:
        times_s: (n,) float64, video time of each picture.
        masks: Of each picture, its bits, row by row, compressed; ``None`` where it could not
            be judged.
        mask_hw: Height and width of all masks; those of other pictures are scaled.
        problem: What was wrong with the video; ``None`` when nothing was.
    """

    times_s: npt.NDArray[np.float64]
    masks: tuple[bytes | None, ...]
    mask_hw: tuple[int, int]
    problem: str | None

    @property
    def watched_s(self) -> float:
        """Video time from the first picture to the last."""
        return float(self.times_s[-1] - self.times_s[0])

    def water_masks(self) -> Iterator[tuple[float, WaterMask | None]]:
        """Yield time and mask of each picture; water is 1, the rest 0."""
        height, width = self.mask_hw
        for time_s, packed in zip(self.times_s.tolist(), self.masks, strict=True):
            if packed is None:
                yield time_s, None
                continue
            bits = np.frombuffer(zlib.decompress(packed), np.uint8)
            water = np.unpackbits(bits, count=height * width).reshape(height, width)
            stamp = FrameStamp(CameraId("tune"), 0, 0, time_s, _at(time_s), time_s)
            yield time_s, WaterMask(stamp, water.astype(np.float32), 0.5, 0.0)


def mask_file(folder: Path, video: Path, camera: CameraConfig, model: str) -> Path:
    """Return where the masks of ``video`` are kept.

    Args:
        folder: Of all masks.
        video: The video.
        camera: Whose interval holds.
        model: Hash of its weights.

    Raises:
        StoreError: There is no such video.
    """
    try:
        status = video.stat()
    except OSError as exc:
        msg = f"{video}: {exc.strerror}; is the path in the labels right?"
        raise StoreError(msg) from None
    key = (_FORMAT, model, camera.interval_s, str(video.resolve()))
    what = json.dumps([*key, status.st_size, status.st_mtime_ns])
    return folder / f"{video.stem}-{hashlib.sha256(what.encode()).hexdigest()[:16]}.npz"


def see(
    video: Path,
    camera: CameraConfig,
    segmenter: Segmenter,
    *,
    tell: Callable[[tuple[float, float | None]], None],
    should_stop: Callable[[], bool],
) -> RawMasks | None:
    """Run the model over a video; return ``None`` when it was stopped.

    Args:
        video: File, or folder of pictures.
        camera: Whose interval holds.
        segmenter: The model.
        tell: Told how far it is and how long the video says it is, in seconds.
        should_stop: Asked after each picture.

    Raises:
        SourceError: It cannot be opened, or has no picture.
    """
    times_s: list[float] = []
    masks: list[bytes | None] = []
    mask_hw: tuple[int, int] | None = None
    with Recording(video, CameraId("tune"), camera) as recording:
        stated_s = recording.stated_s
        for picture in recording.pictures():
            times_s.append(picture.stamp.decoded_mono_s)
            masks.append(None)
            if not picture.codes:
                (mask,) = segmenter.segment([Frame(picture.stamp, picture.image)])
                water = (mask.probability >= mask.threshold).astype(np.uint8)
                height, width = mask_hw = mask_hw or (water.shape[0], water.shape[1])
                if water.shape != mask_hw:
                    scaled = cv2.resize(water, (width, height), interpolation=cv2.INTER_NEAREST)
                    water = np.asarray(scaled, np.uint8)
                masks[-1] = zlib.compress(np.packbits(water).tobytes(), 1)
            tell((times_s[-1], stated_s))
            if should_stop():
                return None
        problem = recording.problem()
    return RawMasks(np.asarray(times_s), tuple(masks), mask_hw or (1, 1), problem)


def save(path: Path, raw: RawMasks) -> None:
    """Write ``raw`` to ``path``: completely, or not at all.

    Raises:
        StoreError: It cannot be written.
    """
    lengths = [-1 if mask is None else len(mask) for mask in raw.masks]
    blob = np.frombuffer(b"".join(mask for mask in raw.masks if mask is not None), np.uint8)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("wb") as file:
            np.savez(
                file,
                format=_FORMAT,
                times_s=raw.times_s,
                lengths=np.asarray(lengths, np.int64),
                blob=blob,
                mask_hw=np.asarray(raw.mask_hw, np.int64),
                problem=raw.problem or "",
            )
        fresh.replace(path)
    except OSError as exc:
        fresh.unlink(missing_ok=True)
        msg = f"{path.parent}: {exc.strerror}; choose another --out"
        raise StoreError(msg) from None


def load(path: Path) -> RawMasks | None:
    """Return what :func:`save` wrote; ``None`` when it is not there, or damaged."""
    try:
        # Opened here: NumPy leaves a damaged file open.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            blob = file["blob"].tobytes()
            masks: list[bytes | None] = []
            at = 0
            for length in file["lengths"].tolist():
                masks.append(None if length < 0 else blob[at : at + length])
                at += max(0, length)
            height, width = file["mask_hw"].tolist()
            problem = str(file["problem"]) or None
            return RawMasks(file["times_s"], tuple(masks), (height, width), problem)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None


def _at(time_s: float) -> datetime:
    return datetime.fromtimestamp(time_s, UTC)
