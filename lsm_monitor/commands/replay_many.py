"""``lsm-monitor replay`` on many videos: side by side, into files, with lines for people."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lsm_monitor.capture.redact import Redactor
from lsm_monitor.commands.jobs import work_on
from lsm_monitor.commands.progress import progress_bars
from lsm_monitor.commands.recording import camera_of
from lsm_monitor.commands.replay import Moment, Replay, ReplayResult
from lsm_monitor.commands.replay_files import ReplayFiles
from lsm_monitor.config.loader import LoadedConfig
from lsm_monitor.config.secrets import revealed
from lsm_monitor.errors import SourceError
from lsm_monitor.runtime import logs
from lsm_monitor.runtime.judging import water_rules
from lsm_monitor.water.state import WaterRules


@dataclass(frozen=True, slots=True)
class Step:
    """How far a video is.

    Attributes:
        at_s: Video time.
        stated_s: How long it says it is; ``None`` when it does not say.
        payloads: The MQTT payloads of the events at this moment.
    """

    at_s: float
    stated_s: float | None
    payloads: tuple[bytes, ...]


class ReplayWorker:
    """Replays one video after the other; see :class:`lsm_monitor.commands.jobs.Worker`."""

    def __init__(self, replay: Replay, rules: WaterRules, stems: Mapping[Path, Path]) -> None:
        self._replay = replay
        self._rules = rules
        self._stems = stems

    def work(
        self, path: Path, tell: Callable[[Step], None], should_stop: Callable[[], bool]
    ) -> ReplayResult:
        """Replay ``path`` and write its files, if it has any."""
        with contextlib.ExitStack() as stack:
            files: ReplayFiles | None = None
            if path in self._stems:
                files = stack.enter_context(ReplayFiles(self._stems[path], self._rules))

            def take(moment: Moment) -> None:
                if files is not None:
                    files.take(moment)
                at_s = moment.stamp.decoded_mono_s
                tell(Step(at_s, moment.stated_s, moment.payloads))

            try:
                result = self._replay.run(path, take, should_stop)
            except SourceError as exc:
                return ReplayResult(problem=str(exc))
            if files is not None:
                files.finish(path, result)
        return result

    def close(self) -> None:
        """Free the model."""
        self._replay.close()


def replay_videos(
    loaded: LoadedConfig,
    videos: Sequence[Path],
    *,
    camera: str | None,
    out_dir: Path | None = None,
    jobs: int = 1,
    on_event: Callable[[Path, bytes], None],
    on_line: Callable[[str], None],
    should_stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Replay ``videos``; one that cannot be used does not stop the others.

    Args:
        loaded: Configuration.
        videos: Files or folders.
        camera: See :class:`Replay`.
        out_dir: Where each video's files are written; ``None`` for nowhere.
        jobs: How many processes.
        on_event: Receives each video and the MQTT payload of each of its events: of one video
            after the other, in their order, as soon as those before are told.
        on_line: Receives a line per video and one about all of them, for people.
        should_stop: Asked after each picture.

    Returns:
        Whether every video was usable to its end and nobody stopped us.

    Raises:
        LsmMonitorError: See :class:`Replay`.
    """
    videos = list(dict.fromkeys(videos))
    stems = {} if out_dir is None else _stems(videos, out_dir)
    order = _InOrder(lambda index, payload: on_event(videos[index], payload))
    began_s, seen_s = time.perf_counter(), 0.0
    usable = 0
    with progress_bars([video.name for video in videos]) as advance:

        def on_step(index: int, step: Step) -> None:
            order.add(index, step.payloads)
            advance(index, step.at_s, step.stated_s)

        opener = functools.partial(_open_worker, loaded=loaded, camera=camera, stems=stems)
        for index, result in work_on(
            videos, opener, jobs=jobs, on_news=on_step, should_stop=should_stop
        ):
            order.finish(index)
            seen_s += result.duration_s
            usable += result.is_complete and result.problem is None
            if result.frames:
                on_line(result.line(videos[index]))
            if result.problem is not None:
                on_line(result.problem)
    order.flush()
    took_s = time.perf_counter() - began_s
    on_line(
        f"{usable} of {len(videos)} videos to their end: {seen_s:.0f} s of video in "
        f"{took_s:.1f} s, {seen_s / took_s:.1f} x real time"
    )
    return usable == len(videos)


class _InOrder:
    """Tells the events of videos that are replayed side by side one video after the other."""

    def __init__(self, tell: Callable[[int, bytes], None]) -> None:
        self._tell = tell
        self._turn = 0
        self._finished: set[int] = set()
        self._held: dict[int, list[bytes]] = {}

    def add(self, index: int, payloads: Iterable[bytes]) -> None:
        for payload in payloads:
            if index == self._turn:
                self._tell(index, payload)
            else:
                self._held.setdefault(index, []).append(payload)

    def finish(self, index: int) -> None:
        self._finished.add(index)
        while self._turn in self._finished:
            self._turn += 1
            self.add(self._turn, self._held.pop(self._turn, ()))

    def flush(self) -> None:
        for index in sorted(self._held):
            for payload in self._held[index]:
                self._tell(index, payload)


def _stems(videos: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """Return the path of each video's files up to the first dot: two may have one name."""
    stems: dict[Path, Path] = {}
    for video in videos:
        names = [
            video.stem,
            *(f"{video.stem}-{number}" for number in range(2, len(videos) + 2)),
        ]
        taken = set(stems.values())
        stems.setdefault(
            video, next(folder / name for name in names if folder / name not in taken)
        )
    return stems


def _open_worker(
    threads: int | None,
    *,
    loaded: LoadedConfig,
    camera: str | None,
    stems: Mapping[Path, Path],
) -> ReplayWorker:
    if threads is not None:  # a process of its own has a log of its own
        logs.configure(
            level="warning",
            fmt=loaded.config.logging.format,
            redact=Redactor(revealed(loaded.config)).redact,
        )
    rules = water_rules(camera_of(loaded, camera))
    return ReplayWorker(Replay(loaded, camera=camera, threads=threads), rules, stems)
