"""Opens many cameras at once and says what each is; ``check --probe`` and ``cameras test``.

Each camera is looked at in a thread of its own, for a limited time. A thread that hangs in
native code is left behind, because nothing else can be done to it: it ends with the process,
and the cameras after it are looked at all the same.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from lsm_monitor.capture.probe import ProbeReport, probe
from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.clock import SystemClock
from lsm_monitor.commands.probe import as_json_object, describe
from lsm_monitor.config.models import CameraConfig
from lsm_monitor.errors import SourceError
from lsm_monitor.runtime.threads import ThreadService
from lsm_monitor.types import CameraId, HealthCode

COLUMNS = (
    "camera",
    "state",
    "code",
    "codec",
    "size",
    "pictures/s",
    "key frames",
    "interval",
    "opened",
    "remark",
)
_SLACK_S = 5.0
"""For what has no time-out of its own: resolving a name, closing the connection."""

State = Literal["ok", "warning", "failed"]
Look = Callable[[SourceSpec, float], ProbeReport]


@dataclass(frozen=True, slots=True)
class CameraProbe:
    """What came of looking at one camera.

    Attributes:
        camera_id: Key of the camera in the configuration.
        interval_s: Its configured interval, in seconds.
        code: Why it cannot be judged, or ``None``.
        detail: What failed, in a sentence free of credentials; empty when it opened.
        warnings: What will not work as configured although it opened.
        report: What was seen, or ``None`` when it failed.
    """

    camera_id: CameraId
    interval_s: float
    code: HealthCode | None
    detail: str
    warnings: tuple[str, ...]
    report: ProbeReport | None

    @property
    def state(self) -> State:
        """Whether it can be watched as it is configured."""
        if self.report is None:
            return "failed"
        return "warning" if self.warnings or self.code else "ok"

    def line(self) -> str:
        """Return the camera as a line of text."""
        if self.report is None:
            return f"{self.camera_id}: {self.code}: {self.detail}"
        warnings = "".join(f"; warning: {warning}" for warning in self.warnings)
        return f"{self.camera_id}: {describe(self.report)}{warnings}"

    def cells(self) -> tuple[str, ...]:
        """Return the camera as a row of a table, one cell for each of ``COLUMNS``."""
        code, interval = self.code or "-", f"{self.interval_s:g} s"
        if self.report is None:
            blank = ("-",) * 4
            return self.camera_id, self.state, code, *blank, interval, "-", self.detail
        facts = self.report.facts
        return (
            self.camera_id,
            self.state,
            code,
            facts.codec,
            f"{self.report.size_wh[0]}x{self.report.size_wh[1]}",
            "-" if facts.fps is None else f"{facts.fps:.3g}",
            "-" if facts.keyframe_interval_s is None else f"{facts.keyframe_interval_s:.3g} s",
            interval,
            f"{self.report.open_s:.2f} s",
            "; ".join(self.warnings),
        )

    def as_json_object(self) -> dict[str, object]:
        """Return the camera for programs; what was not seen is not there."""
        seen = {} if self.report is None else as_json_object(self.report)
        return {
            "camera": self.camera_id,
            "state": self.state,
            "code": self.code,
            "detail": self.detail,
            "interval_s": self.interval_s,
            "warnings": list(self.warnings),
            **seen,
        }


def look_at(spec: SourceSpec, watch_s: float) -> ProbeReport:
    """Watch one camera for ``watch_s``.

    Raises:
        SourceError: It cannot be opened, or no picture came.
    """
    return probe(spec, clock=SystemClock(), duration_s=watch_s)


def probe_cameras(
    cameras: Mapping[str, CameraConfig],
    *,
    parallel: int,
    watch_s: float,
    on_done: Callable[[CameraProbe], None] = lambda _: None,
    look: Look = look_at,
) -> list[CameraProbe]:
    """Look at all ``cameras``, ``parallel`` at a time, and return what came of each, in order.

    Takes at most ``len(cameras) / parallel`` rounds of ``watch_s`` and the cameras' time-outs.

    Args:
        cameras: By id.
        parallel: Most cameras that are open at once.
        watch_s: How long each is watched once it is open, in seconds.
        on_done: Told about each camera as soon as it is known.
        look: Called in a thread of each camera's own.
    """
    return asyncio.run(_probe_all(cameras, parallel, watch_s, on_done, look))


async def _probe_all(
    cameras: Mapping[str, CameraConfig],
    parallel: int,
    watch_s: float,
    on_done: Callable[[CameraProbe], None],
    look: Look,
) -> list[CameraProbe]:
    slots = asyncio.Semaphore(parallel)

    async def one(camera_id: CameraId, camera: CameraConfig) -> CameraProbe:
        async with slots:
            result = await _probe_one(camera_id, camera, watch_s, look)
        on_done(result)
        return result

    return await asyncio.gather(*(one(CameraId(n), camera) for n, camera in cameras.items()))


async def _probe_one(
    camera_id: CameraId, camera: CameraConfig, watch_s: float, look: Look
) -> CameraProbe:
    spec = SourceSpec.from_config(camera_id, camera)
    seen: list[ProbeReport] = []

    def body(_stop: threading.Event) -> None:
        seen.append(look(spec, watch_s))

    limit_s = camera.open_timeout_s + camera.read_timeout_s + watch_s + _SLACK_S
    service = ThreadService(f"probe[{camera_id}]", body, stop_timeout_s=0.0)
    try:
        await asyncio.wait_for(service.run(), limit_s)
    except SourceError as exc:
        return CameraProbe(camera_id, camera.interval_s, exc.code, str(exc), (), None)
    except TimeoutError:
        detail = f"camera '{camera_id}': {spec.display_url} held us up for {limit_s:g} s"
        return CameraProbe(
            camera_id, camera.interval_s, HealthCode.OPEN_TIMEOUT, detail, (), None
        )
    report = seen[0]
    code = report.codes[0] if report.codes else None
    warnings = tuple(_warnings(camera, report, watch_s))
    return CameraProbe(camera_id, camera.interval_s, code, "", warnings, report)


def _warnings(camera: CameraConfig, report: ProbeReport, watch_s: float) -> Iterator[str]:
    every_s, interval_s = report.facts.keyframe_interval_s, camera.interval_s
    if not camera.is_network or camera.decode == "all":
        return
    if every_s is None and interval_s < watch_s:
        found = f"fewer than two key frames in {watch_s:g} s"
    elif every_s is not None and every_s > interval_s:
        found = f"a key frame every {every_s:.3g} s"
    else:
        return
    yield (
        f"{found}, and one is wanted every {interval_s:g} s; shorten the camera's key-frame "
        "(I-frame) interval, or set decode: all"
    )
