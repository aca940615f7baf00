"""A hundred street cameras in one cheap process: 1080p25, H.264, 4 Mbit/s each, RTSP over TCP.

    python -m benchmarks.camera_farm [--cameras 100] [--clips 2]
    python -m benchmarks.camera_farm --cameras 200 --faulty-share 0.3 --seed 0

Prints ``rtsp://127.0.0.1:PORT`` when it is ready; camera ``k`` is ``/camera-k`` below it. Each
further line on stdin is answered with what was sent so far, as JSON; the end of stdin ends it.

With ``--faulty-share`` every camera has a port of its own (one of the faults is that it is
closed), and the first line is the list of their addresses, as JSON. That share of the cameras
is broken at any time, always others, by all faults of the tests; the line ``health`` on stdin
is answered with a list per camera of ``{"start_s", "end_s", "fault"}``, on the monotonic clock
that all processes of a machine share: judge a camera only while its ``fault`` is null, and give
it the time of its own waits to come back.

The farm shares the cores with what it measures, so it must cost next to nothing: RTP packets
are made once per picture and shared by all cameras that show the clip, and a picture is one
``send``. The demo's server, which makes packets for each client, would need a core for 30.
Key pictures of the cameras are spread evenly over the key-frame interval, as chance would do.
A camera whose viewer does not read drops pictures until the next key picture, as real ones do.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import itertools
import json
import re
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import lru_cache
from typing import cast

import av
import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.fault_plan import FaultPlan
from benchmarks.faulty_cameras import ALL_FAULTS, open_cameras, report
from lsm_monitor.demo.clip import TICKS_PER_S, AccessUnit, Clip, split_annex_b
from lsm_monitor.demo.rtp import RtpCounter, interleave, packetize, payloads
from lsm_monitor.demo.rtsp_wire import Request, Response, parse_request, sdp
from lsm_monitor.demo.scene import StreetScene
from lsm_monitor.demo.scene_style import SceneStyle, random_style

WIDTH_PX, HEIGHT_PX, FPS, GOP_FRAMES, BIT_RATE = 1920, 1080, 25, 50, 4_000_000
# Seven key-frame intervals: looked at every 10 s, a clip of 10 s would be one frozen picture.
CLIP_FRAMES = 7 * GOP_FRAMES
LEVELS = (0.0, 0.6, 0.2, 0.9)
_TICK_S = 0.004
_SEND_BUFFER_BYTES = 256 * 1024
_BACKLOG_LIMIT_BYTES = BIT_RATE // 8  # one second of video
_SPS, _PPS, _IDR = 7, 8, 5


def pictures(style: SceneStyle, water_level: float) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the street at 1080p; rendered small, because a full-size one takes half a second.

    The noise is added at full size: it is what the bits of a real camera are spent on.
    """
    scene = StreetScene(style)
    rng = np.random.default_rng(style.seed)
    grain = rng.integers(0, 10, (2 * HEIGHT_PX, 2 * WIDTH_PX, 3), np.uint8)
    for index in range(CLIP_FRAMES):
        small, _ = scene.render(water_level, index / FPS)
        image = cv2.resize(small, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_LINEAR)
        down, right = int(rng.integers(HEIGHT_PX)), int(rng.integers(WIDTH_PX))
        noise = grain[down : down + HEIGHT_PX, right : right + WIDTH_PX]
        yield np.asarray(cv2.add(image, noise), np.uint8)


def encode(images: Iterator[npt.NDArray[np.uint8]]) -> Clip:
    """Return the pictures as a street camera codes them: main profile, CABAC, no B-frames."""
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)  # noqa: S101 - libx264 codes video
    encoder.width, encoder.height, encoder.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
    encoder.framerate, encoder.time_base = Fraction(FPS), Fraction(1, FPS)
    encoder.gop_size, encoder.bit_rate, encoder.thread_count = GOP_FRAMES, BIT_RATE, 1
    encoder.options = {
        "preset": "superfast",
        "profile": "main",
        "tune": "zerolatency",
        "coder": "cabac",
        "sc_threshold": "0",
        "maxrate": str(BIT_RATE),
        "bufsize": str(BIT_RATE),
    }
    packets = []
    for image in images:
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
        frame.pts = None
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    units = []
    for index, packet in enumerate(packets):
        kept = {1, _IDR, _SPS, _PPS}
        nal_units = tuple(unit for unit in split_annex_b(bytes(packet)) if unit[0] & 31 in kept)
        units.append(AccessUnit(nal_units, index * TICKS_PER_S // FPS, packet.is_keyframe))
    by_type = {unit[0] & 31: unit for unit in units[0].nal_units}
    return Clip(WIDTH_PX, HEIGHT_PX, FPS, by_type[_SPS], by_type[_PPS], tuple(units))


class SharedClip:
    """A clip played for ever; ``packets(n)`` is picture ``n``, ready to be sent to anyone."""

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        counts = (
            sum(1 for nal in u.nal_units for _ in payloads(nal)) for u in clip.access_units
        )
        self._first_packet = list(itertools.accumulate(counts, initial=0))
        # The cameras are at most one key-frame interval apart.
        self.packets = lru_cache(maxsize=2 * GOP_FRAMES)(self._packets)

    def _packets(self, index: int) -> bytes:
        rounds, in_round = divmod(index, len(self.clip.access_units))
        unit = self.clip.access_units[in_round]
        first = rounds * self._first_packet[-1] + self._first_packet[in_round]
        ticks = rounds * self.clip.duration_ticks + unit.pts_ticks
        counter = RtpCounter(ssrc=1, sequence=first & 0xFFFF)
        made = packetize(unit.nal_units, timestamp_ticks=ticks, counter=counter)
        return b"".join(interleave(packet, 0) for packet in made)


@dataclass(slots=True)
class Sent:
    """What the farm did so far."""

    viewers: int = 0
    pictures: int = 0
    dropped: int = 0
    latest_by_s: float = 0.0


class Farm:
    """All cameras: who watches which, and when its next picture is due."""

    def __init__(self, clips: Sequence[SharedClip], cameras: int) -> None:
        self.clips = clips
        self.cameras = cameras
        self.sent = Sent()
        self._due: list[tuple[float, int, Viewer]] = []
        self._tie = itertools.count()
        self._loop = asyncio.get_running_loop()
        self._started_s = self._loop.time()

    def offset(self, camera: int) -> float:
        """Return how many pictures ``camera`` is behind the first one, in [0, GOP_FRAMES)."""
        return GOP_FRAMES * camera / self.cameras

    def play(self, viewer: Viewer) -> None:
        """Send ``viewer`` its camera's pictures, from the next key picture on."""
        at = (self._loop.time() - self._started_s) * FPS - self.offset(viewer.camera)
        viewer.index = max(0, int(at // GOP_FRAMES) + 1) * GOP_FRAMES
        self._await_turn(viewer)

    async def pace(self) -> None:
        """Send every picture when it is due, for ever."""
        while True:
            now_s = self._loop.time()
            while self._due and self._due[0][0] <= now_s:
                due_s, _, viewer = heapq.heappop(self._due)
                self.sent.latest_by_s = max(self.sent.latest_by_s, now_s - due_s)
                if viewer.gone.is_set() or viewer.is_frozen:
                    continue
                if viewer.send(self.clips[viewer.camera % len(self.clips)]):
                    self.sent.pictures += 1
                else:
                    self.sent.dropped += 1
                viewer.index += 1
                self._await_turn(viewer)
            await asyncio.sleep(_TICK_S)

    def _await_turn(self, viewer: Viewer) -> None:
        due_s = self._started_s + (viewer.index + self.offset(viewer.camera)) / FPS
        heapq.heappush(self._due, (due_s, next(self._tie), viewer))


class Viewer(asyncio.Protocol):
    """One connection: answers RTSP, then receives pictures."""

    def __init__(self, farm: Farm) -> None:
        self._farm = farm
        self._received = b""
        self._skips_to_key = False
        self._is_playing = False
        self.camera = 0
        self.index = 0
        self.gone = asyncio.Event()
        self.is_frozen = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the kernel's buffer small: a camera has little memory."""
        self._transport = cast("asyncio.Transport", transport)
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        self._farm.sent.viewers += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the viewer at its next picture."""
        del exc
        self.gone.set()
        self._farm.sent.viewers -= 1

    def data_received(self, data: bytes) -> None:
        """Answer every complete request; RTCP is skipped."""
        self._received += data
        while True:
            if self._received[:1] == b"$":
                end = 4 + int.from_bytes(self._received[2:4], "big")
                if len(self._received) < max(4, end):
                    return
                self._received = self._received[end:]
                continue
            head, blank_line, rest = self._received.partition(b"\r\n\r\n")
            if not blank_line:
                return
            self._received = rest
            request = parse_request(head)
            self._transport.write(self._answer(request).encode(request.headers["cseq"]))
            if request.method == "PLAY" and not self._is_playing:
                self._is_playing = True
                self._farm.play(self)

    def send(self, clip: SharedClip) -> bool:
        """Send picture ``index``; return whether it was not dropped."""
        is_key = self.index % GOP_FRAMES == 0
        if self._transport.get_write_buffer_size() > _BACKLOG_LIMIT_BYTES:
            self._skips_to_key = True
        elif is_key:
            self._skips_to_key = False
        if self._skips_to_key:
            return False
        self._transport.write(clip.packets(self.index))
        return True

    def _answer(self, request: Request) -> Response:
        match = re.search(r"/camera-(\d+)", request.url)
        if match is None or int(match[1]) >= self._farm.cameras:
            return Response(404)
        self.camera = int(match[1])
        if request.method == "DESCRIBE":
            clip = self._farm.clips[self.camera % len(self._farm.clips)].clip
            base = {"Content-Type": "application/sdp", "Content-Base": f"{request.url}/"}
            return Response(200, base, sdp(clip))
        if request.method == "SETUP":
            if "interleaved=0-1" not in request.headers.get("transport", ""):
                return Response(461)  # the shared packets are framed for channel 0
            return Response(
                200, {"Transport": "RTP/AVP/TCP;unicast;interleaved=0-1", "Session": "1"}
            )
        return Response(200, {"Session": "1", "Public": "DESCRIBE, SETUP, PLAY, GET_PARAMETER"})


async def serve(clips: Sequence[SharedClip], cameras: int, plan: FaultPlan | None) -> None:
    """Run the farm until stdin ends."""
    loop = asyncio.get_running_loop()
    farm = Farm(clips, cameras)
    started_s = loop.time()
    ended = asyncio.Event()
    running = [asyncio.create_task(farm.pace())]

    def answer() -> None:
        for line in sys.stdin:
            if plan is not None and line.strip() == "health":
                print(json.dumps(report(plan, cameras, started_s, loop.time())), flush=True)
            else:
                print(json.dumps(asdict(farm.sent)), flush=True)
        loop.call_soon_threadsafe(ended.set)

    if plan is None:
        server = await loop.create_server(lambda: Viewer(farm), "127.0.0.1", 0, backlog=512)
        print(f"rtsp://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    else:
        opened = await open_cameras(cameras, lambda: Viewer(farm))
        print(json.dumps([camera.url for camera in opened]), flush=True)
        started_s = loop.time()
        follow = (camera.follow(plan, k, started_s) for k, camera in enumerate(opened))
        running += [asyncio.create_task(each) for each in follow]
    threading.Thread(target=answer, daemon=True).start()
    ending = asyncio.create_task(ended.wait())
    done, _ = await asyncio.wait({*running, ending}, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


def main() -> None:
    """Render, encode, serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cameras", type=int, default=100)
    parser.add_argument("--clips", type=int, default=2)
    parser.add_argument("--faulty-share", type=float, default=0.0)
    parser.add_argument("--fault-period-s", type=float, default=240.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    plan = None
    if arguments.faulty_share > 0:
        plan = FaultPlan(
            arguments.cameras,
            share=arguments.faulty_share,
            period_s=arguments.fault_period_s,
            faults=ALL_FAULTS,
            seed=arguments.seed,
        )
    clips = []
    for number in range(arguments.clips):
        clip = encode(pictures(random_style(number), LEVELS[number % len(LEVELS)]))
        size_bits = 8 * sum(len(nal) for unit in clip.access_units for nal in unit.nal_units)
        rate = size_bits * FPS / len(clip.access_units)
        print(f"street {number}: {rate / 1e6:.1f} Mbit/s", file=sys.stderr, flush=True)
        clips.append(SharedClip(clip))
    asyncio.run(serve(clips, arguments.cameras, plan))


if __name__ == "__main__":
    main()
