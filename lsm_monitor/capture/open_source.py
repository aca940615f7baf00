"""Chooses the source that a camera's ``url`` asks for."""

from __future__ import annotations

import contextlib
from pathlib import Path

from lsm_monitor.capture.folder_source import FolderSource
from lsm_monitor.capture.hls import is_ended, open_hls, patient
from lsm_monitor.capture.http_client import Answer, HttpClient
from lsm_monitor.capture.mjpeg_source import MjpegSource
from lsm_monitor.capture.packet_ring import PacketRing
from lsm_monitor.capture.pyav_open import open_container
from lsm_monitor.capture.pyav_source import PyavSource
from lsm_monitor.capture.snapshot_source import SnapshotSource
from lsm_monitor.capture.source import Source, SourceSpec
from lsm_monitor.clock import Clock
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import HealthCode

_PLAYLISTS = ("application/vnd.apple.mpegurl", "application/x-mpegurl", "audio/mpegurl")


def open_source(
    spec: SourceSpec,
    *,
    metrics: Metrics,
    clock: Clock,
    replay: bool = False,
    ring: PacketRing | None = None,
) -> Source:
    """Return the opened source.

    Args:
        spec: What to open: an address, a device, a video file, or a folder of pictures.
        metrics: Counts packets and pictures.
        clock: Time of arrival.
        replay: Take files and folders from beginning to end, as fast as they can be read,
            instead of as if they were happening now. Every picture that is kept is due on the
            *video's* clock in both cases.

        ring: Gets the packets of a live video; not those of pictures over HTTP.

    Raises:
        SourceOpenError: With the reason code of the cause.
    """
    if spec.is_http:
        return _open_http(spec, metrics=metrics, clock=clock, ring=ring)
    if not spec.is_live and Path(spec.url).is_dir():
        return FolderSource(spec, metrics=metrics, clock=clock, replay=replay)
    paced = not spec.is_live and not replay
    # The container's repr holds the password: it must not become a local variable here.
    return PyavSource(
        spec, open_container(spec, clock), metrics=metrics, clock=clock, paced=paced, ring=ring
    )


def _open_http(
    spec: SourceSpec, *, metrics: Metrics, clock: Clock, ring: PacketRing | None
) -> Source:
    with contextlib.ExitStack() as on_failure:
        client = HttpClient(spec, clock)
        on_failure.callback(client.close)
        answer = client.get(spec.url)
        on_failure.callback(answer.close)
        source = _source_of(spec, client, answer, metrics=metrics, clock=clock, ring=ring)
        on_failure.pop_all()
        return source


def _source_of(
    spec: SourceSpec,
    client: HttpClient,
    answer: Answer,
    *,
    metrics: Metrics,
    clock: Clock,
    ring: PacketRing | None,
) -> Source:
    match _kind(spec, answer):
        case "snapshot":
            return SnapshotSource(spec, client, answer, metrics=metrics, clock=clock)
        case "mjpeg":
            return MjpegSource(spec, client, answer, metrics=metrics, clock=clock)
        case "hls":
            container = open_hls(spec, client, answer)
            return PyavSource(
                patient(spec),
                container,
                metrics=metrics,
                clock=clock,
                paced=is_ended(container),
                on_close=client.close,
                ring=ring,
            )
    what = f"its content type is {answer.headers.get_content_type()}"
    raise client.failure(HealthCode.PROTOCOL_ERROR, what)


def _kind(spec: SourceSpec, answer: Answer) -> str | None:
    if spec.kind != "auto":
        return spec.kind
    media_type = answer.headers.get_content_type()
    if media_type == "multipart/x-mixed-replace":
        return "mjpeg"
    if media_type in {"image/jpeg", "image/jpg", "image/pjpeg", "image/png"}:
        return "snapshot"
    path = answer.url.partition("?")[0]
    return "hls" if media_type in _PLAYLISTS or path.endswith(".m3u8") else None
