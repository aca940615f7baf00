from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator

import av
import numpy as np
import pytest
from av.codec.hwaccel import hwdevices_available
from av.container import InputContainer

from lsm_monitor.capture.decoder import Decoder, choose_decoder, device_problem
from lsm_monitor.capture.probe import ProbeReport
from lsm_monitor.capture.source import SourceFacts
from lsm_monitor.commands.probe import describe

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
