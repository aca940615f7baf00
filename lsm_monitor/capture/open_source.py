"""Chooses the source that a camera's ``url`` asks for."""

from __future__ import annotations

from pathlib import Path

from lsm_monitor.capture.folder_source import FolderSource
from lsm_monitor.capture.pyav_source import PyavSource
from lsm_monitor.capture.source import Source, SourceSpec
from lsm_monitor.clock import Clock
from lsm_monitor.metrics import Metrics


def open_source(
    spec: SourceSpec, *, metrics: Metrics, clock: Clock, replay: bool = False
) -> Source:
    """Return the opened source.

    Args:
        spec: What to open: an address, a video file, or a folder of pictures.
        metrics: Counts packets and pictures.
        clock: Time of arrival.
        replay: Take files and folders from beginning to end, as fast as they can be read,
            instead of as if they were happening now. Every picture that is kept is due on the
            *video's* clock in both cases.

    Raises:
        SourceOpenError: With the reason code of the cause.
    """
    if not spec.is_network and Path(spec.url).is_dir():
        return FolderSource(spec, metrics=metrics, clock=clock, replay=replay)
    return PyavSource(spec, metrics=metrics, clock=clock, paced=not replay)
