"""How the configuration becomes the model and the judge of a camera's pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from uuid import UUID

import uuid_utils.compat

from lsm_engines.plans import PlanStore
from lsm_monitor.config.gauges import PlaceConfig, TrendConfig
from lsm_monitor.config.models import CameraConfig, CameraDefaults, LevelConfig, ModelConfig
from lsm_monitor.errors import ConfigError
from lsm_monitor.inference.segmenter import Segmenter
from lsm_monitor.runtime.drawn import drawn_of
from lsm_monitor.types import CameraId, Episode
from lsm_monitor.water.corroboration import Corroboration, Place
from lsm_monitor.water.judge import CameraJudge
from lsm_monitor.water.state import LevelBand, WaterRules
from lsm_monitor.water.trend import TrendRules

_GPU_BATCH_DEADLINE_S = 0.02


def new_event_id() -> UUID:
    """Return a UUIDv7: sorts by time, and never depends on which process made it."""
    return uuid_utils.compat.uuid7()


def open_segmenter(
    model: ModelConfig, *, max_batch: int, on_progress: Callable[[str], None] = lambda _: None
) -> Segmenter:
    """Open the configured model for batches of up to ``max_batch`` frames.

    Args:
        model: Its configuration.
        max_batch: Most frames that one call of the model takes.
        on_progress: Told in a line, every few seconds and from another thread, what is being
            waited for while a backend builds a plan.

    Raises:
        BundleError: The bundle cannot be used.
        ConfigError: The backend or the device is not there.
    """
    return Segmenter.open(
        model.bundle,
        backend=model.backend,
        device=model.device,
        threads=model.threads,
        max_batch=max_batch,
        plans=PlanStore(on_progress=on_progress),
    )


def check_road_shares(cameras: Mapping[str, CameraConfig], segmenter: Segmenter) -> None:
    """Check that the model knows roads where a camera's water is a share of its road.

    Raises:
        ConfigError: It does not.
    """
    if segmenter.knows_roads:
        return
    for name, camera in cameras.items():
        if camera.zones_of_road:
            msg = (
                f"cameras.{name}: 'water_share_of: road' (zone {min(camera.zones_of_road)}) "
                f"needs a model that knows roads, and {segmenter.identity.name!r} "
                "knows water alone; write water_share_of: zone, or set model.bundle to one "
                "trained with config/train/classwise.yaml"
            )
            raise ConfigError(msg)


def batch_deadline_s(device: str) -> float:
    """Return how long the first frame of a batch waits for others, on ``device``.

    On a GPU a full batch costs hardly more than one frame; on a CPU each frame costs its own
    time, and waiting only makes all of them older.
    """
    return 0.0 if device == "cpu" else _GPU_BATCH_DEADLINE_S


def judge_of(
    camera_id: CameraId,
    camera: CameraConfig,
    *,
    event_ids: Callable[[], UUID] = new_event_id,
    episodes: Iterable[Episode] = (),
    interval_s: Callable[[], float] = lambda: 0.0,
) -> CameraJudge:
    """Return the judge of one camera.

    Args:
        camera_id: Key of the camera in the configuration.
        camera: Its configuration.
        event_ids: Makes the id of each new episode.
        episodes: Episodes that were open at the last stop.
        interval_s: See :class:`CameraJudge`.
    """
    drawn = drawn_of(camera)
    return CameraJudge(
        camera_id=camera_id,
        zones=drawn.zones,
        rules=water_rules(camera),
        # A filter faster than the pictures come would filter nothing.
        smoothing_s=max(camera.smoothing_s, camera.interval_s),
        new_event_id=event_ids,
        episodes=episodes,
        gauges=drawn.gauges,
        ground=drawn.ground,
        trend=_trend_rules(camera.trend),
        interval_s=interval_s,
    )


def corroboration_of(places: Mapping[str, PlaceConfig]) -> Corroboration:
    """Return who vouches for whom."""
    return Corroboration(
        [
            Place(frozenset(CameraId(name) for name in place.cameras), place.min_cameras)
            for place in places.values()
        ]
    )


def water_rules(camera: CameraDefaults) -> WaterRules:
    """Return the rules that the configuration describes."""
    levels = camera.levels
    return WaterRules(
        wet=_band(levels.wet),
        ponding=_band(levels.ponding),
        flooded=_band(levels.flooded),
        severe=_band(levels.severe),
        open_for_s=camera.open_for_s,
        level_up_for_s=camera.level_up_for_s,
        close_for_s=camera.close_for_s,
        stale_after_s=camera.stale_after_s,
        min_frames=camera.min_frames,
        of_frames=camera.of_frames,
        update_every_s=camera.update_every_s,
    )


def _band(level: LevelConfig) -> LevelBand:
    return LevelBand(enter=level.enter, leave=level.leave)


def _trend_rules(trend: TrendConfig) -> TrendRules:
    return TrendRules(
        short_s=trend.short_s,
        long_s=trend.long_s,
        moving_pp_per_min=trend.moving_pp_per_min,
        rapid_pp_per_min=trend.rapid_pp_per_min,
    )
