from __future__ import annotations

import io
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Literal

import av
import numpy as np
import pytest
from av.codec.hwaccel import hwdevices_available
from av.container import InputContainer

from lsm_monitor.capture.decoder import Decoder, choose_decoder, device_problem
from lsm_monitor.capture.probe import ProbeReport
from lsm_monitor.capture.pyav_source import PyavSource
from lsm_monitor.capture.source import Picture, SourceFacts, SourceSpec
from lsm_monitor.clock import SystemClock
from lsm_monitor.commands.probe import describe
from lsm_monitor.errors import SourceEndedError
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import CameraId

NOT_ON_LINUX = "mediacodec"


@pytest.fixture
def stream(make_video: Callable[..., io.BytesIO]) -> Iterator[av.VideoStream]:
    device_problem.cache_clear()
    with av.open(make_video()) as container:
        yield container.streams.video[0]


def pictures(stream: av.VideoStream, decoder: Decoder) -> int:
    container = stream.container
    assert isinstance(container, InputContainer)
    packets = container.demux(stream)
    return sum(len(decoder.context.decode(packet)) for packet in packets)


def test_nothing_is_asked_of_a_device_by_default(stream: av.VideoStream) -> None:
    decoder = choose_decoder(stream, "none")
    assert (decoder.device, decoder.reason) == ("software", "")
    assert pictures(stream, decoder) == 12


def test_a_device_that_is_not_there_is_told_once_and_software_decodes(
    stream: av.VideoStream, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "lsm_monitor"):
        decoders = [choose_decoder(stream, NOT_ON_LINUX) for _ in range(3)]
    assert {decoder.device for decoder in decoders} == {"software"}
    assert decoders[0].reason == "mediacodec: this FFmpeg was built without it"
    assert len(caplog.records) == 1
    assert pictures(stream, decoders[0]) == 12


def test_auto_takes_a_device_or_says_why_none(stream: av.VideoStream) -> None:
    decoder = choose_decoder(stream, "auto")
    if decoder.device == "software":
        assert all(f"{device}: " in decoder.reason for device in hwdevices_available())
    else:
        assert decoder.reason == ""
    assert pictures(stream, decoder) == 12


def test_a_probe_shows_what_decodes() -> None:
    def described(decoder: str, reason: str) -> str:
        facts = SourceFacts(
            "h264", 25.0, 2.0, has_timestamps=True, decoder=decoder, decoder_reason=reason
        )
        image = np.zeros((2, 2, 3), np.uint8)
        return describe(ProbeReport("rtsp://a/b", 0.1, 0.2, (2, 2), facts, (), image))

    assert "decoded by cuda" in described("cuda", "")
    assert "decoded in software (cuda: no device)" in described("software", "cuda: no device")
    assert "decoded" not in described("software", "")


class BrokenDevice:
    """A decoder on a device that is gone."""

    def decode(self, _: object) -> list[av.VideoFrame]:
        raise av.error.ExternalError(0, "no device", "cuda")

    def flush_buffers(self) -> None:
        raise AssertionError


@pytest.mark.parametrize("decode", ["keyframes", "all"])
def test_a_device_that_fails_on_the_way_loses_no_picture(
    make_video: Callable[..., io.BytesIO], decode: Literal["keyframes", "all"]
) -> None:
    url = "rtsp://192.0.2.1/1"
    spec = SourceSpec(CameraId("bridge"), url, None, None, "tcp", decode, 0.1, 1.0, 1.0)
    source = PyavSource(
        spec,
        av.open(make_video(), mode="r"),
        metrics=Metrics(),
        clock=SystemClock(),
        paced=False,
    )
    source._decoder = Decoder(BrokenDevice(), "cuda", "")  # type: ignore[arg-type] # it acts like one
    picture = next(iter(source.pictures(threading.Event())))
    assert picture.image.shape == (48, 64, 3)
    assert source.facts().decoder == "software"
    assert source.facts().decoder_reason == "cuda: it failed while decoding"
    source.close()


def test_the_raw_pictures_of_a_device_are_read_when_they_are_due() -> None:
    # As a V4L2 camera gives them: uncompressed 4:2:2, each a key frame.
    grain = np.random.default_rng(0).integers(0, 256, (31, 48 * 64 * 2), np.uint8)
    options = {"video_size": "64x48", "pixel_format": "yuyv422", "framerate": "10"}
    container = av.open(
        io.BytesIO(grain.tobytes()), mode="r", format="rawvideo", options=options
    )
    spec = SourceSpec(
        CameraId("bridge"), "v4l2:/dev/video0", None, None, "tcp", "keyframes", 0.5, 1.0, 1.0
    )
    metrics = Metrics()
    source = PyavSource(spec, container, metrics=metrics, clock=SystemClock(), paced=False)
    pictures: list[Picture] = []
    with pytest.raises(SourceEndedError, match="hung up"):
        pictures.extend(source.pictures(threading.Event()))
    # The first at once, then two per second at the camera's own phase.
    assert [picture.sequence for picture in pictures] == [0, 2, 7, 12, 17, 22, 27]
    assert all(picture.image.shape == (48, 64, 3) for picture in pictures)
    skipped = 'lsm_camera_packets_skipped_total{camera="bridge",reason="not_due"}'
    assert metrics.snapshot()[skipped] == 24
    source.close()
