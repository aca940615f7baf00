"""The decoder of a stream: in software, or on a device if one was asked for and works.

A decoder of our own beside the container's: so a device that fails costs no second connection
to the camera. It pays for ``decode: all`` only: one key frame in ten seconds costs less to
decode in software than to bring to a device and back.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import lru_cache

import av
from av.codec.context import ThreadType
from av.codec.hwaccel import HWAccel, hwdevices_available

from lsm_monitor.capture.still import MAX_PICTURE_PX

logger = logging.getLogger(__name__)

SOFTWARE = "software"
LIMITS = {"max_pixels": str(MAX_PICTURE_PX)}
"""FFmpeg's options of a decoder: a few bytes can make a picture of a gigabyte."""


@dataclass(frozen=True, slots=True, eq=False)
class Decoder:
    """What decodes.

    Attributes:
        context: Decodes packets of the stream; one thread and no delay.
        device: ``software``, or the device's name.
        reason: Why it is software although a device was asked for; else empty.
    """

    context: av.VideoCodecContext
    device: str
    reason: str


def choose_decoder(stream: av.VideoStream, wanted: str) -> Decoder:
    """Return the decoder to use.

    Args:
        stream: Whose packets.
        wanted: ``none``, ``auto`` for the first device that works, or a device's name.
    """
    software = stream.codec_context
    # One thread and no delay: frame threads would hold back as many pictures.
    software.thread_type = ThreadType.NONE
    software.options = LIMITS
    if wanted == "none":
        return Decoder(software, SOFTWARE, "")
    devices = hwdevices_available() if wanted == "auto" else [wanted]
    reasons = []
    for device in devices:
        problem = device_problem(device, software.codec.name)
        if problem is None:
            try:
                return Decoder(_on_device(software, device), device, "")
            except av.FFmpegError as exc:  # it worked once, and has no room for one more
                problem = exc.strerror
        reasons.append(f"{device}: {problem}")
    return Decoder(software, SOFTWARE, "; ".join(reasons) or "FFmpeg was built without devices")


def software_instead(stream: av.VideoStream, failed: Decoder) -> Decoder:
    """Return the software decoder, for a stream that the device of ``failed`` gave up."""
    reason = f"{failed.device}: it failed while decoding"
    logger.warning("hwaccel %s; decoding in software until the next reconnect", reason)
    return replace(choose_decoder(stream, "none"), reason=reason)


@lru_cache(maxsize=64)
def device_problem(device: str, codec_name: str) -> str | None:
    """Return why ``device`` cannot decode ``codec_name``; ``None`` when it can.

    Asked once per process: trying is slow, and a device does not appear while we run. That is
    also why the reason is logged once.
    """
    problem = _try_device(device, codec_name)
    if problem is not None:
        logger.warning("hwaccel %s cannot decode %s: %s", device, codec_name, problem)
    return problem


def _try_device(device: str, codec_name: str) -> str | None:
    if device not in hwdevices_available():
        return "this FFmpeg was built without it"
    try:
        accelerator = HWAccel(device_type=device, allow_software_fallback=False)
        context = av.CodecContext.create(codec_name, "r", accelerator)
    except (av.FFmpegError, NotImplementedError, ValueError) as exc:
        return getattr(exc, "strerror", None) or str(exc)
    return None if context.is_hwaccel else f"it has no decoder for {codec_name}"


def _on_device(software: av.VideoCodecContext, device: str) -> av.VideoCodecContext:
    # What this picture's profile asks for may be beyond the device: then FFmpeg decodes it.
    accelerator = HWAccel(device_type=device, allow_software_fallback=True)
    context = av.CodecContext.create(software.codec.name, "r", accelerator)
    assert isinstance(context, av.VideoCodecContext)  # noqa: S101 - the codec is the same
    context.extradata = software.extradata
    context.options = LIMITS
    context.thread_type = ThreadType.NONE
    return context
