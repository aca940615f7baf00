"""``lsm-monitor replay``: the daemon's own pipeline on one recorded video, on its clock.

Source, sampler, quality check, model, judge and payloads are the daemon's. What differs is
time: stamps carry the video's clock, so dwell and smoothing behave as they would have
behaved live, however fast the machine is; and a frame never waits in a mailbox or is lost.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import lsm_monitor
from lsm_monitor.commands.recording import (
    RecordedPicture,
    Recording,
    camera_id_of,
    camera_of,
)
from lsm_monitor.config.intervals import interval_s
from lsm_monitor.config.loader import LoadedConfig
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


@dataclass(frozen=True, slots=True)
class Moment:
    """One picture of the video, and what came of it.

    Attributes:
        stamp: Both its times are the video's.
        codes: Why it could not be judged; empty when it was.
        judgement: What is believed after it.
        payloads: The MQTT payload of each of its events.
        stated_s: How long the file says it is, in seconds; ``None`` when it does not say.
    """

    stamp: FrameStamp
    codes: tuple[HealthCode, ...]
    judgement: Judgement
    payloads: tuple[bytes, ...]
    stated_s: float | None


@dataclass(slots=True)
class ReplayResult:
    """What one video came to.

    Attributes:
        frames: Pictures that were looked at.
        frames_usable: Those of them that could be judged.
        duration_s: Video time of the last picture.
        took_s: How long the replay took.
        peak_fraction: Largest smoothed water fraction of any zone, [0, 1].
        level: Level of the worst zone at the end.
        problem: What was wrong with the video; what is here came of the rest of it.
        is_complete: Whether nobody stopped the replay before its end.
    """

    frames: int = 0
    frames_usable: int = 0
    duration_s: float = 0.0
    took_s: float = 0.0
    peak_fraction: float = 0.0
    level: WaterLevel = WaterLevel.UNKNOWN
    problem: str | None = None
    is_complete: bool = True

    def take(self, moment: Moment) -> None:
        """Add one picture."""
        order = list(WaterLevel)
        self.frames += 1
        self.frames_usable += not moment.codes
        self.duration_s = moment.stamp.decoded_mono_s
        self.level = max((s.level for s in moment.judgement.states), key=order.index)
        fractions = [reading.water_fraction for reading in moment.judgement.readings]
        self.peak_fraction = max([self.peak_fraction, *fractions])

    def line(self, video: Path) -> str:
        """Return it as a line of text."""
        return (
            f"{video.name}: {self.duration_s:.1f} s, {self.frames_usable} of {self.frames} "
            f"pictures judged, at most {self.peak_fraction:.1%} water, {self.level} at the end"
        )


class Replay:
    """Replays videos, one after the other, with one model.

    Args:
        loaded: Configuration; its ``mqtt`` section is not used, and nothing is published.
        camera: Judge by this camera's settings; ``None`` for those of ``defaults``.
        threads: CPU threads of the model; ``None`` for what the configuration says.

    Raises:
        ConfigError: There is no such camera.
        BundleError: The model cannot be used.
    """

    def __init__(
        self, loaded: LoadedConfig, *, camera: str | None, threads: int | None = None
    ) -> None:
        self._camera = camera_of(loaded, camera)
        self._camera_name = camera
        model = loaded.config.model
        if threads is not None:
            model = model.model_copy(update={"threads": threads})
        self._segmenter = open_segmenter(model, max_batch=1)
        check_road_shares({camera or "replay": self._camera}, self._segmenter)
        self._provenance = Provenance(
            site=loaded.config.site,
            software=lsm_monitor.__version__,
            config=loaded.digest,
            model=self._segmenter.identity,
        )

    def run(
        self,
        video: Path,
        on_moment: Callable[[Moment], None],
        should_stop: Callable[[], bool] = lambda: False,
    ) -> ReplayResult:
        """Replay one video file, or a folder of pictures one interval apart.

        Args:
            video: What to replay.
            on_moment: Receives each picture's outcome, in order.
            should_stop: Asked after each picture.

        Raises:
            SourceError: The video cannot be opened, or holds no picture that can be decoded.
        """
        camera_id = CameraId(self._camera_name) if self._camera_name else camera_id_of(video)
        judge = judge_of(camera_id, self._camera)
        result = ReplayResult()
        began_s = time.perf_counter()
        with Recording(video, camera_id, self._camera) as recording:
            health = CameraHealth(
                camera_id, HealthState.USABLE, (), "", recording.began_at, reconnects=0
            )
            stated_s = recording.stated_s
            for picture in recording.pictures():
                health = _health(health, picture)
                judgement = self._judge(judge, picture)
                moment = Moment(
                    picture.stamp,
                    picture.codes,
                    judgement,
                    self._payloads(judgement, health),
                    stated_s,
                )
                result.take(moment)
                on_moment(moment)
                recording.retime(self._interval_s(judgement))
                if should_stop():
                    result.is_complete = False
                    break
            result.problem = recording.problem()
        result.took_s = time.perf_counter() - began_s
        return result

    def close(self) -> None:
        """Free the model."""
        self._segmenter.close()

    def _judge(self, judge: CameraJudge, picture: RecordedPicture) -> Judgement:
        stamp = picture.stamp
        if picture.codes:
            judge.unusable(stamp)
            return judge.tick(stamp.decoded_mono_s, stamp.decoded_at)
        (mask,) = self._segmenter.segment([Frame(stamp, picture.image)])
        return judge.observe(mask)

    def _payloads(self, judgement: Judgement, health: CameraHealth) -> tuple[bytes, ...]:
        # Written at the moment it was observed: the same video makes the same bytes, but for
        # the id of the episode.
        return tuple(
            event_payload(
                event, health=health, provenance=self._provenance, sent_at=event.observed_at
            )
            for event in judgement.events
        )

    def _interval_s(self, judgement: Judgement) -> float:
        """Return when the daemon would look next; nobody knows the triggers of that day."""
        return interval_s(
            self._camera, pending=judgement.is_pending, triggered=False, episode_open=True
        )


def event_line(payload: bytes) -> str:
    """Return one line for a person."""
    event = json.loads(payload)
    fraction = event["water"]["fraction"]
    seen = "not visible" if fraction is None else f"{fraction:.1%} water"
    details = details_of(event["water"])
    return (
        f"{event['observed_at']} {event['camera']}/{event['zone']} "
        f"{event['event_type']} #{event['seq']}: {event['previous_level']} -> "
        f"{event['level']}, {seen}" + (f", {details}" if details else "")
    )


def _health(before: CameraHealth, picture: RecordedPicture) -> CameraHealth:
    state = HealthState.UNUSABLE if picture.codes else HealthState.USABLE
    since = before.since if state is before.state else picture.stamp.decoded_at
    return CameraHealth(before.camera_id, state, picture.codes, "", since, reconnects=0)
