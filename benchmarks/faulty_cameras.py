"""The farm's cameras, each on a port of its own, breaking and recovering as planned.

What a broken camera does is what it does in the tests (``tests/rtsp_stream_faults.py``); a
healthy one is the farm's cheap viewer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from benchmarks.fault_plan import FaultPlan
from lsm_monitor.demo.rtsp_connection import RtspConnection
from lsm_monitor.demo.rtsp_server import RtspServer
from tests.rtsp_stream_faults import FAULTS, small_clip

REFUSE = "refuse"
HANG = "hang_in_stream"
ALL_FAULTS = (*FAULTS, REFUSE)


class Viewer(Protocol):
    """What the farm gives for one connection to a healthy camera; an asyncio protocol.

    Attributes:
        gone: Set when the connection is lost.
        is_frozen: Whether it has stopped sending, and says nothing about it.
    """

    gone: asyncio.Event
    is_frozen: bool


class _Handover(RtspConnection):
    """Gives an accepted connection to the farm, and ends it when the camera breaks."""

    viewer: Viewer

    async def run(self) -> None:
        try:
            await self.viewer.gone.wait()
        finally:
            self._writer.transport.abort()


class FarmCamera(RtspServer):
    """One camera: healthy, broken, healthy again.

    Args:
        number: In the farm.
        make_viewer: Makes what serves a connection while the camera is healthy.
    """

    def __init__(self, number: int, make_viewer: Callable[[], Viewer]) -> None:
        super().__init__(small_clip(), path=f"/camera-{number}")
        self._make_viewer = make_viewer
        self._viewers: set[Viewer] = set()
        self._fault: str | None = None
        self._is_listening = False

    def make_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> RtspConnection:
        """Return what talks to one client: the farm's viewer, or the fault."""
        if self._fault is not None:
            return FAULTS[self._fault]()(self, reader, writer)
        handover = _Handover(self, reader, writer)
        handover.viewer = viewer = self._make_viewer()
        self._viewers = {each for each in self._viewers if not each.gone.is_set()} | {viewer}
        # Before anything was read: the bytes to come are the viewer's.
        writer.transport.set_protocol(viewer)  # type: ignore[arg-type] # it is an asyncio protocol
        viewer.connection_made(writer.transport)  # type: ignore[attr-defined] # the same
        return handover

    async def become(self, fault: str | None) -> None:
        """Break in this way, or recover."""
        self._fault = None if fault == REFUSE else fault
        if fault == HANG:
            for viewer in self._viewers:
                viewer.is_frozen = True
        else:
            await self.hang_up()
        if self._is_listening and fault == REFUSE:
            await self.close()
        if fault == REFUSE:
            self._is_listening = False
        elif not self._is_listening:
            await self.listen(self.bind())
            self._is_listening = True

    async def follow(self, plan: FaultPlan, number: int, started_s: float) -> None:
        """Do what the plan says, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            now_s = loop.time() - started_s
            await self.become(plan.fault_at(number, now_s))
            await asyncio.sleep(plan.next_change_s(number, now_s) - now_s)


async def open_cameras(count: int, make_viewer: Callable[[], Viewer]) -> list[FarmCamera]:
    """Return that many cameras; their addresses are known and none is broken yet."""
    for make_fault in FAULTS.values():
        make_fault()  # now is the time to encode their clips, not when the first one breaks
    cameras = [FarmCamera(number, make_viewer) for number in range(count)]
    for camera in cameras:
        await camera.become(None)
    return cameras


def report(plan: FaultPlan, cameras: int, started_s: float, now_s: float) -> list[object]:
    """Return per camera what was wrong with it from when to when, on the monotonic clock."""
    spans = [plan.spans(camera, now_s - started_s) for camera in range(cameras)]
    return [
        [
            {"start_s": started_s + s.start_s, "end_s": started_s + s.end_s, "fault": s.fault}
            for s in of_one
        ]
        for of_one in spans
    ]
