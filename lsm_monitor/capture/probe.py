"""Looks at a camera for a few seconds and says what it is: for setting one up."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lsm_monitor.capture.open_source import open_source
from lsm_monitor.capture.quality import QualityCheck, QualityRules
from lsm_monitor.capture.source import Picture, Source, SourceFacts, SourceSpec
from lsm_monitor.clock import Clock
from lsm_monitor.errors import SourceEndedError, SourceStalledError
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import HealthCode

_INTERVAL_S = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class ProbeReport:
    """What a camera turned out to be.

    Attributes:
        url: Address or path, free of credentials.
        open_s: Time until the connection stood, in seconds.
        first_picture_s: Time from the beginning to the first picture, in seconds.
        size_wh: Width and height of the picture in pixels.
        facts: Codec, rates and whether there are presentation times.
        codes: Why ``image`` is unusable; empty when it can be judged.
        image: (H, W, 3) uint8, RGB: the first usable picture, or the last one when none was.
    """

    url: str
    open_s: float
    first_picture_s: float
    size_wh: tuple[int, int]
    facts: SourceFacts
    codes: tuple[HealthCode, ...]
    image: npt.NDArray[np.uint8]


def probe(spec: SourceSpec, *, clock: Clock, duration_s: float = 8.0) -> ProbeReport:
    """Open the source, read for ``duration_s``, and return what was seen.

    Raises:
        SourceError: It cannot be opened, or no picture came; the text says why.
    """
    is_file = Path(spec.url).is_file()
    if spec.is_live or is_file:
        spec = dataclasses.replace(spec, interval_s=_INTERVAL_S)
    stop = threading.Event()
    # A watch of its own: a camera without key frames yields nothing that could be timed here.
    timer = threading.Timer(duration_s, stop.set)
    started_s = clock.monotonic_s()
    source = open_source(spec, metrics=Metrics(), clock=clock, replay=is_file)
    open_s = clock.monotonic_s() - started_s
    timer.start()
    try:
        with contextlib.closing(source):
            seen = _look(source, stop, clock)
            facts = source.facts()
    finally:
        timer.cancel()
        timer.join()
    if seen is None and Path(spec.url).is_dir():
        msg = f"{spec.url}: no new picture came into this folder within {duration_s:g} s"
        raise SourceStalledError(msg, HealthCode.STALLED)
    if seen is None:
        msg = (
            f"camera '{spec.camera_id}': {spec.display_url} can be opened, but no picture came "
            f"within {duration_s:g} s; set a shorter key-frame interval in the camera, or "
            f"'cameras.{spec.camera_id}.decode: all'"
        )
        raise SourceStalledError(msg, HealthCode.INVALID_DATA)
    picture, codes, first_picture_at_s = seen
    height_px, width_px = picture.image.shape[:2]
    return ProbeReport(
        url=spec.display_url,
        open_s=open_s,
        first_picture_s=first_picture_at_s - started_s,
        size_wh=(width_px, height_px),
        facts=facts,
        codes=codes,
        image=picture.image,
    )


def _look(
    source: Source, stop: threading.Event, clock: Clock
) -> tuple[Picture, tuple[HealthCode, ...], float] | None:
    """Return the best picture, its codes, and when the first one came; ``None`` without."""
    check = QualityCheck(QualityRules())
    best: tuple[Picture, tuple[HealthCode, ...]] | None = None
    first_at_s = 0.0
    try:
        for picture in source.pictures(stop):
            now_s = clock.monotonic_s()
            codes = check.assess(picture.image, now_s).codes
            if best is None:
                first_at_s = now_s
            if best is None or best[1]:
                best = picture, codes
    except SourceEndedError:
        # The end of a short file is no fault; a camera that hangs up at once is one.
        if best is None:
            raise
    return None if best is None else (*best, first_at_s)
