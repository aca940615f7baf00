"""A recorded video on its own clock: every picture that is due, stamped and looked at.

Source, sampler and quality check are the daemon's. A recording is damaged more often than a
camera is: what came before the damage, and after it, counts, and what is wrong is told at the
end instead of being raised.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from lsm_monitor.capture.open_source import open_source
from lsm_monitor.capture.quality import QualityCheck, QualityRules
from lsm_monitor.capture.source import Picture, SourceFacts, SourceSpec
from lsm_monitor.clock import SystemClock
from lsm_monitor.config.loader import LoadedConfig
from lsm_monitor.config.models import CameraConfig
from lsm_monitor.errors import SourceEndedError, SourceError, SourceOpenError
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import CameraId, FrameStamp, HealthCode

# An .mp4 has its index at the end: what a recorder writes when its power goes has none.
_UNOPENED = {
    HealthCode.NOT_FOUND: "it is not there",
    HealthCode.UNAUTHORIZED: "it may not be read; check who owns it",
    HealthCode.NO_VIDEO: "it has no video track",
    HealthCode.INVALID_DATA: "it is no video, or was cut off before its index was written; "
    "let the recorder close the file, or record .mkv or .ts, which need no index",
}
_CLEAN_NAME = re.compile(r"[^a-z0-9]+")
# A recording may end a little sooner than it says, as when its sound goes on.
_MISSING_S = 1.0
_MISSING_SHARE = 0.01
_MISSING_PICTURES = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class RecordedPicture:
    """One picture of a recording.

    Attributes:
        stamp: Both its times are the video's.
        image: (H, W, 3) uint8, RGB.
        codes: Why it cannot be judged; empty when it can.
    """

    stamp: FrameStamp
    image: npt.NDArray[np.uint8]
    codes: tuple[HealthCode, ...]


class Recording:
    """One video file, or a folder of pictures one interval apart, opened.

    Args:
        video: The file or folder.
        camera_id: Whose pictures they shall be.
        camera: Its settings, but for the ``url``.
        began_at: When the recording began, timezone-aware UTC; ``None``: when the file was
            last changed, which is all that a file tells.

    Raises:
        SourceOpenError: It cannot be opened.
    """

    def __init__(
        self,
        video: Path,
        camera_id: CameraId,
        camera: CameraConfig,
        *,
        began_at: datetime | None = None,
    ) -> None:
        self._video = video
        self._camera_id = camera_id
        self._interval_s = camera.interval_s
        self._metrics = Metrics()
        spec = SourceSpec.from_config(camera_id, camera.model_copy(update={"url": str(video)}))
        try:
            self._source = open_source(
                spec, metrics=self._metrics, clock=SystemClock(), replay=True
            )
        except SourceOpenError as exc:
            msg = f"{video}: {_UNOPENED.get(exc.code, str(exc))}"
            raise SourceOpenError(msg, exc.code) from None
        self.began_at = began_at or datetime.fromtimestamp(video.stat().st_mtime, UTC)
        self._pictures = 0
        self._failure: SourceError | None = None

    def __enter__(self) -> Self:
        """Return the recording itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._source.close()

    @property
    def stated_s(self) -> float | None:
        """How long the file says it is; ``None`` when it does not say."""
        return self._source.facts().stated_s

    def retime(self, interval_s: float) -> None:
        """Yield one picture per ``interval_s`` from now on; a folder's stay as they are."""
        self._source.retime(interval_s)

    def pictures(self) -> Iterator[RecordedPicture]:
        """Yield one picture per interval, to the end of what can be read.

        Raises:
            SourceEndedError: No picture in it could be decoded.
        """
        check = QualityCheck(QualityRules())
        for picture in self._read():
            # A recording without presentation times is taken as one picture per interval.
            nominal_s = self._pictures * self._interval_s
            time_s = nominal_s if picture.pts_s is None else picture.pts_s
            self._pictures += 1
            stamp = FrameStamp(
                camera_id=self._camera_id,
                stream_epoch=0,
                sequence=picture.sequence,
                pts_s=picture.pts_s,
                decoded_at=self.began_at + timedelta(seconds=time_s),
                decoded_mono_s=time_s,
            )
            codes = check.assess(picture.image, time_s).codes
            yield RecordedPicture(stamp, picture.image, codes)
        if self._pictures == 0:
            msg = f"{self._video}: no picture in it could be decoded; nothing was judged"
            raise SourceEndedError(msg, HealthCode.INVALID_DATA)

    def problem(self) -> str | None:
        """Return what was wrong with the part that was read, and in which file.

        Ask before the recording is closed.
        """
        facts = self._source.facts()
        problems = []
        if self._failure is not None:
            if self._failure.code is not HealthCode.ENDED:
                problems.append(str(self._failure))
            elif _is_short(facts):
                problems.append(
                    f"it says that it is {facts.stated_s:.1f} s long, and ends after "
                    f"{facts.decoded_s:.1f} s: it was cut off"
                )
        corrupt = self._metrics.snapshot().get(
            f'lsm_camera_packets_skipped_total{{camera="{self._camera_id}",reason="corrupt"}}'
        )
        if corrupt:
            problems.append(f"{corrupt:.0f} of its pictures or packets are damaged")
        if not facts.has_timestamps and facts.codec != "images":
            problems.append(
                "it has no timestamps, so all times are guessed from its nominal rate; "
                "put it into a container, as with: ffmpeg -r RATE -i FILE -c copy out.mkv"
            )
        return f"{self._video}: " + "; ".join(problems) if problems else None

    def _read(self) -> Iterator[Picture]:
        try:
            yield from self._source.pictures(threading.Event())
        except SourceError as exc:
            self._failure = exc.with_traceback(None)


def camera_of(loaded: LoadedConfig, name: str | None) -> CameraConfig:
    """Return the settings of the camera called ``name``; of ``defaults`` for ``None``.

    Raises:
        ConfigError: There is no such camera.
    """
    config = loaded.config
    if name is None:
        return CameraConfig.model_validate({**config.defaults.model_dump(), "url": "replay"})
    return config.camera(name)


def camera_id_of(video: Path) -> CameraId:
    """Return the file's name as a camera id, which may hold a-z, 0-9 and inner hyphens."""
    return CameraId(_CLEAN_NAME.sub("-", video.stem.lower()).strip("-") or "video")


def _is_short(facts: SourceFacts) -> bool:
    if facts.stated_s is None or facts.decoded_s is None:
        return False
    slack_s = max(
        _MISSING_S,
        _MISSING_SHARE * facts.stated_s,
        _MISSING_PICTURES / facts.fps if facts.fps else 0.0,
    )
    return facts.stated_s - facts.decoded_s > slack_s
