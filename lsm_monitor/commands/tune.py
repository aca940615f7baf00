"""``lsm-monitor tune``: which thresholds and dwells find the labelled floods, and no others.

The model runs once per video, side by side like ``replay``; everything after that is the
daemon's own filter and rules on the kept masks. Pictures are ``interval_s`` apart throughout,
while the daemon looks more often when a level is about to change: its alarms come as early
as here, or earlier by less than an interval.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lsm_monitor.capture.redact import Redactor
from lsm_monitor.commands.choice import Choice, choose
from lsm_monitor.commands.jobs import work_on
from lsm_monitor.commands.labels import VideoLabels
from lsm_monitor.commands.progress import progress_bars
from lsm_monitor.commands.raw_masks import load, mask_file, save, see
from lsm_monitor.commands.recording import camera_of
from lsm_monitor.commands.sweep import (
    LabelledVideo,
    Trial,
    default_axes,
    settings_of,
    sweep,
    with_axes,
)
from lsm_monitor.commands.verdicts import floods_of
from lsm_monitor.config.edit_settings import with_settings
from lsm_monitor.config.edit_text import difference
from lsm_monitor.config.loader import LoadedConfig
from lsm_monitor.config.loader import load as load_config
from lsm_monitor.config.models import CameraConfig
from lsm_monitor.config.secrets import is_reference, revealed
from lsm_monitor.errors import ConfigError, SourceError
from lsm_monitor.inference.segmenter import Segmenter
from lsm_monitor.model.bundle import load_bundle
from lsm_monitor.runtime import logs
from lsm_monitor.runtime.judging import open_segmenter
from lsm_monitor.types import WaterLevel

Step = tuple[float, float | None]


@dataclass(frozen=True, slots=True, eq=False)
class Tuned:
    """What came of tuning.

    Attributes:
        trials: Every setting that was tried.
        choice: Which one is best.
        diff: What to change in the file; ``None`` when nothing is proposed.
    """

    trials: tuple[Trial, ...]
    choice: Choice
    diff: str | None


class _Watcher:
    """Runs the model over one video after the other and keeps its masks."""

    def __init__(
        self,
        segmenter: Segmenter,
        cameras: Mapping[Path, CameraConfig],
        files: Mapping[Path, Path],
    ) -> None:
        self._segmenter = segmenter
        self._cameras = cameras
        self._files = files

    def work(
        self, path: Path, tell: Callable[[Step], None], should_stop: Callable[[], bool]
    ) -> str | None:
        """Keep the masks of ``path``; return why there are none."""
        try:
            raw = see(
                path, self._cameras[path], self._segmenter, tell=tell, should_stop=should_stop
            )
        except SourceError as exc:
            return str(exc)
        if raw is not None:
            save(self._files[path], raw)
        return None

    def close(self) -> None:
        """Free the model."""
        self._segmenter.close()


def watch(
    loaded: LoadedConfig,
    labels: Sequence[VideoLabels],
    *,
    camera: str | None,
    level: WaterLevel,
    outbox: Path | None,
    folder: Path,
    jobs: int,
    on_line: Callable[[str], None],
    should_stop: Callable[[], bool] = lambda: False,
) -> list[LabelledVideo] | None:
    """Return every labelled video with what the model sees in it; ``None`` when stopped.

    Args:
        loaded: Configuration.
        labels: The videos.
        camera: Judge all by this camera; ``None``: each by the one its labels name.
        level: The least level that shall alarm.
        outbox: The daemon's, with operators' verdicts; ``None`` without.
        folder: Where masks are kept; those of an earlier run are used again.
        jobs: How many processes.
        on_line: Receives what is wrong with a video that is used all the same.
        should_stop: Asked after each picture.

    Raises:
        ConfigError: A camera is not there, a video cannot be used, or a label does not fit.
        LsmMonitorError: The model cannot be used, or a file not be written.
    """
    model = load_bundle(loaded.config.model.bundle).manifest.weights.sha256
    if camera is not None:
        labels = [each.model_copy(update={"camera": camera}) for each in labels]
    cameras = {each.video: camera_of(loaded, each.camera) for each in labels}
    expect_shares_of_zones(cameras)
    files = {
        video: mask_file(folder, video, settings, model) for video, settings in cameras.items()
    }
    kept = {video: load(path) for video, path in files.items()}
    absent = [video for video, raw in kept.items() if raw is None]
    problems = []
    if absent:
        opener = functools.partial(_open_watcher, loaded=loaded, cameras=cameras, files=files)
        with progress_bars([video.name for video in absent]) as advance:
            for index, problem in work_on(
                absent,
                opener,
                jobs=jobs,
                on_news=lambda index, step: advance(index, *step),
                should_stop=should_stop,
            ):
                if problem is not None:
                    problems.append(problem)
                kept[absent[index]] = load(files[absent[index]])
    if should_stop():
        return None
    if problems:
        raise ConfigError("\n".join(problems))
    videos = []
    for each in labels:
        raw = kept[each.video]
        assert raw is not None  # noqa: S101 - it was made, or there was a problem
        if raw.problem is not None:
            on_line(raw.problem)
        floods = floods_of(each, length_s=float(raw.times_s[-1]), level=level, outbox=outbox)
        videos.append(LabelledVideo(floods, cameras[each.video], raw))
    return videos


def tune(
    loaded: LoadedConfig,
    videos: Sequence[LabelledVideo],
    *,
    camera: str | None,
    level: WaterLevel,
    asked: Mapping[str, Sequence[float]],
    slack_s: float,
    max_false_alarms: float,
    least_floods: int,
    environ: Mapping[str, str],
) -> Tuned:
    """Try settings and choose one.

    Args:
        loaded: Configuration.
        videos: With their floods.
        camera: Whose settings are tuned; ``None`` for ``defaults``.
        level: The level that alarms.
        asked: Values to try, by key, instead of the usual ones.
        slack_s: How far from a flood its alarm may begin.
        max_false_alarms: Limit, per camera-day.
        least_floods: Propose nothing on fewer.
        environ: The process's environment.

    Raises:
        ConfigError: A key cannot be tuned, or the file must be edited by hand.
    """
    settings = camera_of(loaded, camera)
    axes = with_axes(default_axes(settings, level), asked)
    try:
        tried = settings_of(axes, settings)
    except KeyError as exc:
        msg = f"{exc.args[0]!r} is no number that can be tuned; such as open_for_s"
        raise ConfigError(msg) from None
    trials = tuple(sweep(videos, tried, now=tried[0], level=level, slack_s=slack_s))
    choice = choose(
        trials, tried[0], max_false_alarms=max_false_alarms, least_floods=least_floods
    )
    diff = None
    if choice.refusal is None and choice.best is not None:
        now = choice.now.values
        changes = {key: v for key, v in choice.best.values.items() if v != now[key]}
        diff = _diff(loaded, camera, changes, environ)
    return Tuned(trials, choice, diff)


def _diff(
    loaded: LoadedConfig,
    camera: str | None,
    changes: Mapping[str, float],
    environ: Mapping[str, str],
) -> str:
    """Return what to change in the file in which the settings stand, free of credentials."""
    path = loaded.path
    section = ("defaults",) if camera is None else ("cameras", camera)
    if camera is not None and not loaded.places[camera].startswith(f"{path.name}:"):
        missing = ", ".join(f"{key}: {value:g}" for key, value in changes.items())
        msg = (
            f"{loaded.places[camera]}: camera {camera!r} stands in the inventory; set there: "
            f"{missing}"
        )
        raise ConfigError(msg)
    values = {
        key: int(value) if float(value).is_integer() else value
        for key, value in changes.items()
    }
    before, after = with_settings(path, section, values)
    load_config(path, environ, needs_secrets=False, texts={path.resolve(): after})
    secrets = {each for each in revealed(loaded.config) if not is_reference(each)}
    return Redactor(secrets).redact(difference(path.name, before, after))


def expect_shares_of_zones(cameras: Mapping[Path, CameraConfig]) -> None:
    """Check that no camera counts water as a share of its road.

    Raises:
        ConfigError: One does, and the masks that are kept tell water alone.
    """
    for video, camera in cameras.items():
        if camera.zones_of_road:
            msg = (
                f"{video}: its camera has 'water_share_of: road', and tune keeps only where "
                "water is; write water_share_of: zone while tuning"
            )
            raise ConfigError(msg)


def _open_watcher(
    threads: int | None,
    *,
    loaded: LoadedConfig,
    cameras: Mapping[Path, CameraConfig],
    files: Mapping[Path, Path],
) -> _Watcher:
    model = loaded.config.model
    if threads is not None:  # a process of its own has a log of its own
        logs.configure(
            level="warning",
            fmt=loaded.config.logging.format,
            redact=Redactor(revealed(loaded.config)).redact,
        )
        model = model.model_copy(update={"threads": threads})
    return _Watcher(open_segmenter(model, max_batch=1), cameras, files)
