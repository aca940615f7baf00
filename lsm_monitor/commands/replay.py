"""``lsm-monitor replay``: the daemon's own pipeline on recorded video, on the video's clock.

Source, sampler, quality check, model, judge and payloads are the daemon's. What differs is
time: stamps carry the video's clock, so dwell and smoothing behave as they would have
behaved live, however fast the machine is; and a frame never waits in a mailbox or is lost.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import lsm_monitor
from lsm_monitor.capture.open_source import open_source
from lsm_monitor.capture.quality import QualityCheck, QualityRules
from lsm_monitor.capture.source import Picture, SourceSpec
from lsm_monitor.clock import SystemClock
from lsm_monitor.config.loader import LoadedConfig
from lsm_monitor.config.models import CameraConfig
from lsm_monitor.errors import SourceEndedError, SourceError
from lsm_monitor.metrics import Metrics
from lsm_monitor.publish.payloads import Provenance, event_payload
from lsm_monitor.publish.words import details_of
from lsm_monitor.runtime.judging import check_road_shares, judge_of, open_segmenter
from lsm_monitor.types import (
    CameraHealth,
    CameraId,
    Frame,
    FrameStamp,
    HealthCode,
    HealthState,
    WaterLevel,
)
from lsm_monitor.water.judge import CameraJudge, Judgement

_CLEAN_NAME = re.compile(r"[^a-z0-9]+")


@dataclass(slots=True)
class ReplayResult:
    """What one video came to.

    Attributes:
        frames: Pictures that were looked at.
        frames_usable: Those of them that could be judged.
        duration_s: Video time of the last picture.
        peak_fraction: Largest smoothed water fraction of any zone, [0, 1].
        level: Level of the worst zone at the end.
    """

    frames: int = 0
    frames_usable: int = 0
    duration_s: float = 0.0
    peak_fraction: float = 0.0
    level: WaterLevel = field(default=WaterLevel.UNKNOWN)


class Replay:
    """Replays videos, one after the other, with one model.

    Args:
        loaded: Configuration; its ``mqtt`` section is not used, and nothing is published.
        camera: Judge by this camera's settings; ``None`` for those of ``defaults``.
        on_event: Receives the MQTT payload of each event.

    Raises:
        ConfigError: There is no such camera.
        BundleError: The model cannot be used.
    """

    def __init__(
        self,
        loaded: LoadedConfig,
        *,
        camera: str | None,
        on_event: Callable[[bytes], None],
    ) -> None:
        self._camera = _settings(loaded, camera)
        self._camera_name = camera
        self._on_event = on_event
        self._segmenter = open_segmenter(loaded.config.model, max_batch=1)
        check_road_shares({camera or "replay": self._camera}, self._segmenter)
        self._provenance = Provenance(
            site=loaded.config.site,
            software=lsm_monitor.__version__,
            config=loaded.digest,
            model=self._segmenter.identity,
        )

    def run(self, video: Path) -> ReplayResult:
        """Replay one video file, or a folder of pictures one interval apart.

        Raises:
            SourceError: The video cannot be opened, or holds no picture that can be decoded.
        """
        camera_id = CameraId(self._camera_name or _camera_id_of(video))
        camera = self._camera.model_copy(update={"url": str(video)})
        judge = judge_of(camera_id, camera)
        check = QualityCheck(QualityRules())
        result = ReplayResult()
        health = CameraHealth(
            camera_id, HealthState.USABLE, (), "", _began_at(video), reconnects=0
        )
        for stamp, picture in self._pictures(camera_id, camera, _began_at(video)):
            result.frames += 1
            result.duration_s = stamp.decoded_mono_s
            codes = check.assess(picture.image, stamp.decoded_mono_s).codes
            health = _health(health, codes, stamp)
            judgement = self._judge(judge, stamp, picture, codes)
            result.frames_usable += not codes
            self._note(judgement, result, health)
        if result.frames == 0:
            msg = f"{video}: no picture in it could be decoded; nothing was judged"
            raise SourceEndedError(msg, HealthCode.INVALID_DATA)
        return result

    def close(self) -> None:
        """Free the model."""
        self._segmenter.close()

    def _pictures(
        self, camera_id: CameraId, camera: CameraConfig, began_at: datetime
    ) -> Iterator[tuple[FrameStamp, Picture]]:
        spec = SourceSpec.from_config(camera_id, camera)
        source = open_source(spec, metrics=Metrics(), clock=SystemClock(), replay=True)
        index = 0
        with contextlib.closing(source), contextlib.suppress(SourceEndedError):
            for picture in source.pictures(threading.Event()):
                # A recording without presentation times is taken as one picture per interval.
                time_s = picture.pts_s
                time_s = index * camera.interval_s if time_s is None else time_s
                index += 1
                yield (
                    FrameStamp(
                        camera_id=camera_id,
                        stream_epoch=0,
                        sequence=picture.sequence,
                        pts_s=picture.pts_s,
                        decoded_at=began_at + timedelta(seconds=time_s),
                        decoded_mono_s=time_s,
                    ),
                    picture,
                )

    def _judge(
        self,
        judge: CameraJudge,
        stamp: FrameStamp,
        picture: Picture,
        codes: tuple[HealthCode, ...],
    ) -> Judgement:
        if codes:
            judge.unusable(stamp)
            return judge.tick(stamp.decoded_mono_s, stamp.decoded_at)
        (mask,) = self._segmenter.segment([Frame(stamp, picture.image)])
        return judge.observe(mask)

    def _note(self, judgement: Judgement, result: ReplayResult, health: CameraHealth) -> None:
        for event in judgement.events:
            # Written at the moment it was observed: the same video makes the same bytes,
            # but for the id of the episode.
            payload = event_payload(
                event, health=health, provenance=self._provenance, sent_at=event.observed_at
            )
            self._on_event(payload)
        order = list(WaterLevel)
        result.level = max((s.level for s in judgement.states), key=order.index)
        fractions = [reading.water_fraction for reading in judgement.readings]
        result.peak_fraction = max([result.peak_fraction, *fractions])


def replay_videos(
    loaded: LoadedConfig,
    videos: Sequence[Path],
    *,
    camera: str | None,
    as_json: bool,
    out: Callable[[str], None],
    progress: Callable[[str], None],
) -> None:
    """Replay ``videos`` in turn; one that cannot be used does not stop the others.

    Args:
        loaded: Configuration.
        videos: Files or folders.
        camera: See :class:`Replay`.
        as_json: Give ``out`` the MQTT payloads and nothing else; else lines for people.
        out: Receives results.
        progress: Receives one line per video.

    Raises:
        LsmMonitorError: See :class:`Replay`.
    """
    replay = Replay(
        loaded,
        camera=camera,
        on_event=lambda payload: out(payload.decode() if as_json else _line(payload)),
    )
    failure: SourceError | None = None
    with contextlib.closing(replay):
        for video in videos:
            try:
                result = replay.run(video)
            except SourceError as exc:
                if failure is not None:
                    progress(str(failure))
                failure = exc
                continue
            progress(
                f"{video.name}: {result.duration_s:.1f} s, {result.frames_usable} of "
                f"{result.frames} pictures judged, at most {result.peak_fraction:.1%} water, "
                f"{result.level} at the end"
            )
    if failure is not None:
        raise failure


def _line(payload: bytes) -> str:
    event = json.loads(payload)
    fraction = event["water"]["fraction"]
    seen = "not visible" if fraction is None else f"{fraction:.1%} water"
    details = details_of(event["water"])
    return (
        f"{event['observed_at']} {event['camera']}/{event['zone']} "
        f"{event['event_type']} #{event['seq']}: {event['previous_level']} -> "
        f"{event['level']}, {seen}" + (f", {details}" if details else "")
    )


def _settings(loaded: LoadedConfig, camera: str | None) -> CameraConfig:
    config = loaded.config
    if camera is None:
        return CameraConfig.model_validate({**config.defaults.model_dump(), "url": "replay"})
    return config.camera(camera)


def _camera_id_of(video: Path) -> str:
    """Return the file's name as a camera id, which may hold a-z, 0-9 and inner hyphens."""
    return _CLEAN_NAME.sub("-", video.stem.lower()).strip("-") or "video"


def _began_at(video: Path) -> datetime:
    """Return when the recording began, as far as the file tells: its last change."""
    return datetime.fromtimestamp(video.stat().st_mtime, UTC)


def _health(
    before: CameraHealth, codes: tuple[HealthCode, ...], stamp: FrameStamp
) -> CameraHealth:
    state = HealthState.UNUSABLE if codes else HealthState.USABLE
    since = before.since if state is before.state else stamp.decoded_at
    return CameraHealth(before.camera_id, state, codes, "", since, reconnects=0)
