"""How and what cameras send: H.264, H.265, motion JPEG; over TCP, UDP and TLS."""

from __future__ import annotations

import dataclasses
import gc
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydantic import SecretStr

from lsm_monitor.capture.probe import probe
from lsm_monitor.clock import SystemClock
from lsm_monitor.demo.clip import Clip, encode_clip
from lsm_monitor.demo.rtsp_wire import Login
from lsm_monitor.types import HealthCode
from tests.certificates import Certificate, self_signed
from tests.reading import FPS, PASSWORD, FastClock, Reader, spec_of, street
from tests.rtsp_codecs import HevcConnection, JpegConnection, hevc_clip, jpeg_clip
from tests.rtsp_faults import Behaviour, FaultyCamera, hang_up_after, healthy
from tests.rtsp_udp import over_udp


@pytest.fixture(autouse=True)
def _nothing_is_left_open() -> Iterator[None]:
    """What a test leaves open is told by itself, and not by one that comes after it."""
    yield
    gc.collect()


IMAGES = [street(3 * i) for i in range(20)]


@pytest.mark.parametrize(
    ("clip", "behaviour", "codec", "gop"),
    [
        pytest.param(encode_clip(IMAGES, fps=FPS, gop_s=0.5), healthy, "h264", 5, id="H.264"),
        pytest.param(hevc_clip(IMAGES, fps=FPS, gop=5), HevcConnection, "hevc", 5, id="H.265"),
        pytest.param(jpeg_clip(IMAGES, fps=FPS), JpegConnection, "mjpeg", 1, id="JPEG"),
    ],
)
def test_the_pictures_of_every_codec_are_those_that_the_camera_saw(
    clip: Clip, behaviour: Behaviour, codec: str, gop: int
) -> None:
    with FaultyCamera(clip, [behaviour], pace=2.0) as camera:
        reader = Reader(dataclasses.replace(spec_of(camera), interval_s=0.2))
        pictures = list(itertools.islice(reader, 3))
        report = probe(spec_of(camera), clock=SystemClock(), duration_s=0.6)
    assert all(picture.sequence % gop == 0 for picture in pictures)
    for picture in pictures:
        error = np.abs(picture.image.astype(int) - street(3 * picture.sequence))
        assert error.mean() < 12
    assert report.facts.codec == codec
    assert report.facts.decoder == "software"


@pytest.fixture(scope="module")
def clip() -> Clip:
    return encode_clip(IMAGES, fps=FPS, gop_s=0.5)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return self_signed(tmp_path_factory.mktemp("tls"))


def test_rtsps_carries_the_video_and_the_login(clip: Clip, certificate: Certificate) -> None:
    login = Login("admin", PASSWORD)
    with FaultyCamera(clip, login=login, certificate=certificate) as camera:
        assert camera.url.startswith("rtsps://")
        assert len(list(itertools.islice(Reader(spec_of(camera)), 3))) == 3
        wrong = dataclasses.replace(spec_of(camera), password=SecretStr("wrong"))
        assert Reader(wrong).error().code is HealthCode.UNAUTHORIZED


def test_rtsps_checks_the_certificate_when_told_to(
    clip: Clip, certificate: Certificate, tmp_path: Path
) -> None:
    with FaultyCamera(clip, certificate=certificate) as camera:
        checked = dataclasses.replace(spec_of(camera), tls_verify=True)
        error = Reader(checked).error()
        assert error.code is HealthCode.PROTOCOL_ERROR
        assert "its certificate is not trusted: self-signed certificate" in str(error)
        trusted = dataclasses.replace(checked, tls_ca_file=certificate.chain)
        assert len(list(itertools.islice(Reader(trusted), 2))) == 2
    other = self_signed(tmp_path, "DNS:elsewhere.test")
    with FaultyCamera(clip, certificate=other) as camera:
        spec = dataclasses.replace(spec_of(camera), tls_verify=True, tls_ca_file=other.chain)
        assert "certificate is not valid for" in str(Reader(spec).error())


def test_an_old_camera_with_a_short_key_is_read(clip: Clip, tmp_path: Path) -> None:
    with FaultyCamera(clip, certificate=self_signed(tmp_path, bits=1024)) as camera:
        assert len(list(itertools.islice(Reader(spec_of(camera)), 1))) == 1


def test_a_camera_that_hangs_up_in_tls_has_ended(clip: Clip, certificate: Certificate) -> None:
    with FaultyCamera(clip, [hang_up_after(3)], certificate=certificate) as camera:
        assert Reader(spec_of(camera)).error().code is HealthCode.ENDED


def test_udp_carries_the_same_pictures(clip: Clip) -> None:
    with FaultyCamera(clip, [over_udp()]) as camera:
        reader = Reader(dataclasses.replace(spec_of(camera), transport="udp"))
        pictures = list(itertools.islice(reader, 3))
    assert [picture.sequence for picture in pictures] == [0, 5, 10]
    for picture in pictures:
        difference = picture.image.astype(int) - street(3 * picture.sequence)
        assert np.abs(difference).mean() < 12


def test_a_picture_of_which_udp_lost_a_part_is_not_judged() -> None:
    # Key pictures of several packets: one of them is lost each time.
    grain = np.random.default_rng(0).integers(-40, 41, (96, 128, 3))
    images = [(street(3 * i) + grain).clip(0, 255).astype(np.uint8) for i in range(10)]
    clip = encode_clip(images, fps=FPS, gop_s=0.1)
    with FaultyCamera(clip, [over_udp(lose_one_in=4)]) as camera:
        reader = Reader(dataclasses.replace(spec_of(camera), transport="udp"), FastClock())
        error = reader.error()
    assert error.code is HealthCode.INVALID_DATA
    assert reader.skipped("corrupt") >= 1  # how many, depends on how fast the machine is
    assert reader.pictures == []


def test_a_camera_that_refuses_the_transport_says_so(clip: Clip) -> None:
    with FaultyCamera(clip, [over_udp()]) as camera:
        error = Reader(spec_of(camera)).error()
    assert error.code is HealthCode.PROTOCOL_ERROR
    assert "try the other 'cameras.bridge.transport'" in str(error)
