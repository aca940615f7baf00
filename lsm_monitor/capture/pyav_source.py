"""Pictures of an RTSP camera, a playlist, a device or a video file, read with PyAV.

From a camera only key frames are decoded, and only those whose picture is due: decoding is
what capturing costs, and one picture in ten seconds needs no more. The decoder is drained
after each, so that its picture comes out at once also where B-frames would delay it, and reset,
so that the next key frame is a fresh start. ``decode: all`` and files decode everything and
save the conversion to RGB of pictures that are not kept.

PyAV's errors end here. None of them is chained: their texts hold the whole address.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from fractions import Fraction

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.reformatter import VideoReformatter

from lsm_monitor.capture.arrival_rate import ArrivalRate
from lsm_monitor.capture.decoder import SOFTWARE, choose_decoder, software_instead
from lsm_monitor.capture.gulps import REST_S, Gulps
from lsm_monitor.capture.open_failure import stalled
from lsm_monitor.capture.packet_ring import CodedStream, PacketRing
from lsm_monitor.capture.patience import Patience
from lsm_monitor.capture.sampler import Sampler
from lsm_monitor.capture.source import Picture, SourceFacts, SourceSpec
from lsm_monitor.capture.timestamps import Timeline, TimestampGuard, Verdict
from lsm_monitor.clock import Clock
from lsm_monitor.errors import (
    SourceEndedError,
    SourceError,
)
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import HealthCode

_FALLBACK_FPS = 25.0
_STALLS = (av.error.ExitError, av.error.TimeoutError)


class PyavSource:
    """An open container; see :class:`~lsm_monitor.capture.source.Source`.

    Args:
        spec: What was opened.
        container: Has a video stream; closed with the source.
        metrics: Counts packets and pictures.
        clock: Time of arrival.
        paced: Recorded video only: yield pictures at the speed they were filmed, not as fast
            as possible.
        on_close: Called after the container was closed.
        ring: Gets every packet of the video; ``None``: nobody keeps them.
    """

    def __init__(
        self,
        spec: SourceSpec,
        container: InputContainer,
        *,
        metrics: Metrics,
        clock: Clock,
        paced: bool,
        on_close: Callable[[], None] | None = None,
        ring: PacketRing | None = None,
    ) -> None:
        self._spec = spec
        self._who = f"camera '{spec.camera_id}': {spec.display_url}"
        self._clock = clock
        self._paced = paced
        self._on_close = on_close
        self._decode_all = spec.decode == "all" or not spec.is_live
        # Segments of a playlist come in bursts, files as fast as they can be read: the time of
        # arrival says nothing there, and then only steps back count.
        self._arrival_tells = spec.is_rtsp or spec.device is not None
        # Bound once: finding a counter by its labels costs more than counting.
        self._received = metrics.frames.labels(spec.camera_id, "received")
        self._decoded = metrics.frames.labels(spec.camera_id, "decoded")
        self._not_key = metrics.packets_skipped.labels(spec.camera_id, "not_key")
        self._keyframe_interval_s = metrics.keyframe_interval_s.labels(spec.camera_id)
        self._metrics = metrics
        # Its repr holds the password: nothing that knows it may raise.
        self._container = container
        self._stream = self._container.streams.video[0]
        # Read once: FFmpeg sets it later, and a moving origin would be a jump of its own.
        self._start = self._stream.start_time or 0
        # A float of 1/90,000 s is exact to a microsecond for a century.
        self._tick_s = float(self._stream.time_base or 0)
        self._video_s: float | None = None
        self._decoded_s: float | None = None
        self._decoder = choose_decoder(self._stream, spec.hwaccel)
        self._packets = self._container.demux()
        self._ring = ring if self._tick_s else None
        if self._ring is not None:
            codec = self._stream.codec_context
            time_base = self._stream.time_base or Fraction(1)
            self._ring.begin(CodedStream(codec.name, time_base, codec.extradata or b""))
        # PyAV 18 builds a scaler per frame unless one is shared.
        self._reformatter = VideoReformatter()
        self._sampler = Sampler(spec.interval_s, spec.phase)
        self._guard = TimestampGuard()
        self._timeline = Timeline()
        self._rate = ArrivalRate()
        # Over UDP what nobody reads at once may be lost; a file has nothing to wait for.
        rests = spec.is_rtsp and spec.transport == "tcp" and not self._decode_all
        self._gulps = Gulps() if rests else None
        self._sequence = -1
        self._patience = Patience(spec, clock.monotonic_s())
        self._has_timestamps = False
        self._waiting_since_s = clock.monotonic_s()
        self._is_over = False

    def pictures(self, stop: threading.Event) -> Iterator[Picture]:
        """Yield one picture per interval; see :class:`~lsm_monitor.capture.source.Source`.

        The read time-out bounds a stop while the camera is silent: PyAV looks at nothing else,
        and a container must not be closed while another thread is inside FFmpeg.
        """
        started_s = self._clock.monotonic_s()
        first_s: float | None = None
        while not stop.is_set():
            reading_since_s = self._clock.monotonic_s()
            packet = self._next_packet()
            if isinstance(packet, HealthCode):
                if stop.is_set():
                    return
                raise self._failure(packet)
            arrived_s = self._clock.monotonic_s()
            for time_s, picture in self._pictures_of(packet, arrived_s):
                first_s = time_s if first_s is None else first_s
                if self._paced:
                    due_s = started_s + time_s - first_s
                    stop.wait(max(0.0, due_s - self._clock.monotonic_s()))
                if stop.is_set():
                    return
                yield picture
                del picture  # 6 MB at 1080p, for a hundred cameras, until the next one is due
                self._patience.picture(self._clock.monotonic_s())
            if self._spec.is_live:
                self._patience.packet(arrived_s, self._rate.keyframe_interval_s)
            if self._gulps is not None:
                self._rest(self._gulps, arrived_s, arrived_s - reading_since_s, stop)

    def retime(self, interval_s: float) -> None:
        """Yield one picture per ``interval_s`` from now on."""
        self._patience.retime(interval_s)
        self._sampler.retime(interval_s)

    def facts(self) -> SourceFacts:
        """Return what is known by now."""
        return SourceFacts(
            codec=self._stream.codec_context.name,
            fps=self._rate.fps,
            keyframe_interval_s=self._rate.keyframe_interval_s,
            has_timestamps=self._has_timestamps,
            decoder=self._decoder.device,
            decoder_reason=self._decoder.reason,
            stated_s=self._stated_s(),
            decoded_s=self._decoded_s,
        )

    def close(self) -> None:
        """Free connection and decoder: without it, 100 reconnects cost 590 MB."""
        self._container.close()
        if self._on_close is not None:
            self._on_close()

    def _next_packet(self) -> Packet[Stream] | HealthCode:
        """Return the next packet, or why there is none."""
        # FFmpeg gives a packet away when the next one begins. The last one before a silence
        # therefore comes after a whole time-out, and the stall is told after another one.
        if not self._is_over:
            self._waiting_since_s = self._clock.monotonic_s()
        try:
            # A server that closes the connection is no error to FFmpeg: the packets just end.
            packet = next(self._packets, None)
        except _STALLS:
            return HealthCode.STALLED
        except av.error.InvalidDataError:
            return self._end(HealthCode.INVALID_DATA)
        except av.FFmpegError:
            return self._end(HealthCode.ENDED)
        if packet is None:
            return self._end(HealthCode.ENDED)
        self._is_over = not packet.size  # empty ones for the decoders come before the end
        return packet

    def _end(self, code: HealthCode) -> HealthCode:
        # What is cut off by its own time-out, in the middle of a packet or of waiting for a
        # playlist, has ended to FFmpeg, or is damaged.
        took_s = self._clock.monotonic_s() - self._waiting_since_s
        timed_out = self._spec.is_live and took_s >= 0.9 * self._spec.read_timeout_s
        return HealthCode.STALLED if timed_out else code

    def _rest(
        self, gulps: Gulps, arrived_s: float, read_took_s: float, stop: threading.Event
    ) -> None:
        """Let packets gather when there is nothing more to read now."""
        if self._video_s is not None and gulps.may_rest(arrived_s, self._video_s, read_took_s):
            stop.wait(REST_S)

    def _failure(self, code: HealthCode) -> SourceError:
        if code is HealthCode.STALLED:
            return stalled(self._spec)
        if code is HealthCode.INVALID_DATA:
            return SourceEndedError(f"{self._who} sent data that cannot be read", code)
        what = "hung up" if self._spec.is_live and not self._paced else "is over"
        return SourceEndedError(f"{self._who} {what}", code)

    def _pictures_of(
        self, packet: Packet[Stream], now_s: float
    ) -> Iterator[tuple[float, Picture]]:
        """Yield the kept pictures that come out of ``packet``, with their time in seconds."""
        if packet.stream_index != self._stream.index:
            self._video_s = None
            return
        pts_s = self._video_s = self._pts_s(packet.pts)
        is_key = packet.is_keyframe
        if packet.size:
            self._received.inc()
            self._keep_packet(packet, now_s)
            arrived_s = self._arrived_s(now_s)
            self._rate.add(self._timeline.time_s(pts_s, arrived_s), is_keyframe=is_key)
            if is_key:
                self._keyframe_interval_s.set(self._rate.keyframe_interval_s or 0.0)
        if self._decode_all:
            yield from self._decode_everything(packet, now_s)
        elif packet.size and is_key:
            self._sequence += 1
            yield from self._decode_keyframe(packet, pts_s, now_s)
        elif packet.size:
            self._sequence += 1
            self._not_key.inc()

    def _decode_keyframe(
        self, packet: Packet[Stream], pts_s: float | None, now_s: float
    ) -> Iterator[tuple[float, Picture]]:
        time_s = self._accept(pts_s, now_s)
        if time_s is None:
            return
        frames = [] if packet.is_corrupt else self._decode_packet(packet, drain=True)
        # Lost RTP packets leave a hole that FFmpeg paints over: such a picture is not judged.
        if not frames or frames[-1].is_corrupt:
            self._skip("corrupt")
            return
        yield time_s, self._keep(frames[-1], pts_s, time_s)

    def _decode_everything(
        self, packet: Packet[Stream], now_s: float
    ) -> Iterator[tuple[float, Picture]]:
        # The empty packet at the end of a file makes the decoder give what it still holds.
        for frame in self._decode_packet(packet, drain=False):
            self._sequence += 1
            pts_s = self._pts_s(frame.pts)
            time_s = self._accept(pts_s, now_s)
            if time_s is None:
                continue
            if frame.is_corrupt:
                self._skip("corrupt")
                continue
            yield time_s, self._keep(frame, pts_s, time_s)

    def _decode_packet(self, packet: Packet[Stream], *, drain: bool) -> list[av.VideoFrame]:
        """Return the decoded pictures; none, and counted, when the packet is damaged."""
        frames: list[av.VideoFrame] = []
        try:
            frames = self._decoder.context.decode(packet)
            if drain:
                frames += self._decoder.context.decode(None)
        except av.FFmpegError:
            if self._decoder.device != SOFTWARE:  # perhaps it is not the packet's fault
                self._decoder = software_instead(self._stream, self._decoder)
                return self._decode_packet(packet, drain=drain)
            if not drain:
                self._skip("corrupt")
        if drain:
            self._decoder.context.flush_buffers()
        return frames

    def _accept(self, pts_s: float | None, now_s: float) -> float | None:
        """Return the picture's time in seconds, or ``None``, counted, when it is not kept."""
        arrived_s = self._arrived_s(now_s)
        passed_s = arrived_s if self._arrival_tells or pts_s is None else pts_s
        match self._guard.check(pts_s, passed_s):
            case Verdict.BROKEN:
                msg = (
                    f"{self._who}: the presentation times jump or stand still; check the "
                    "camera's clock and its time server"
                )
                raise SourceError(msg, HealthCode.INVALID_DATA)
            case Verdict.MISSING:
                self._skip("no_timestamp")
                return None
            case Verdict.NOT_RISING:
                self._skip("not_rising")
                return None
        self._decoded_s = pts_s
        time_s = self._timeline.time_s(pts_s, arrived_s)
        if not self._sampler.is_due(time_s):
            self._skip("not_due")
            return None
        return time_s

    def _keep(self, frame: av.VideoFrame, pts_s: float | None, time_s: float) -> Picture:
        self._sampler.keep(time_s)
        self._decoded.inc()
        # One picture in seconds needs no pool of threads for each camera.
        rgb = self._reformatter.reformat(frame, format="rgb24", threads=1)
        # Phones store what they see as the sensor lies, and say how to turn it.
        upright = np.rot90(rgb.to_ndarray(), round(frame.rotation / 90))
        return Picture(pts_s, self._sequence, np.ascontiguousarray(upright, np.uint8))

    def _keep_packet(self, packet: Packet[Stream], now_s: float) -> None:
        if self._ring is not None:
            is_key = packet.is_keyframe
            self._ring.add(bytes(packet), pts=packet.pts, is_key=is_key, arrived_s=now_s)

    def _pts_s(self, pts: int | None) -> float | None:
        if pts is None or not self._tick_s:
            return None
        self._has_timestamps = True
        return (pts - self._start) * self._tick_s

    def _stated_s(self) -> float | None:
        if self._spec.is_live:
            return None
        if self._stream.duration:
            return self._stream.duration * self._tick_s
        stated = self._container.duration
        return stated / av.time_base if stated else None

    def _arrived_s(self, now_s: float) -> float:
        """Return the time for pictures without one: the clock, or a file's nominal rate."""
        if self._spec.is_live:
            return now_s
        rate = self._stream.average_rate
        return max(self._sequence, 0) / (float(rate) if rate else _FALLBACK_FPS)

    def _skip(self, reason: str) -> None:
        self._metrics.packets_skipped.labels(self._spec.camera_id, reason).inc()
