"""Reading a real RTSP camera on loopback, healthy and broken in every way we know."""

from __future__ import annotations

import dataclasses
import itertools
import threading
import traceback
from fractions import Fraction
from typing import Literal
from urllib.parse import quote

import av
import numpy as np
import pytest
from pydantic import SecretStr

from lsm_monitor.capture.probe import probe
from lsm_monitor.clock import SystemClock
from lsm_monitor.demo.clip import TICKS_PER_S, AccessUnit, Clip, encode_clip, split_annex_b
from lsm_monitor.demo.rtsp_wire import Login
from lsm_monitor.errors import SourceStalledError
from lsm_monitor.types import HealthCode
from tests import rtsp_faults
from tests.reading import FPS, PASSWORD, FastClock, Reader, spec_of, street
from tests.rtsp_faults import Behaviour, FaultyCamera


@pytest.fixture(scope="module")
def clip() -> Clip:
    return encode_clip([street(3 * i) for i in range(20)], fps=FPS, gop_s=0.5)


def all_that_is_known_about(error: BaseException) -> str:
    """Return the text, chain, and the repr of every local variable along the traceback."""
    known = [repr(error), "".join(traceback.format_exception(error))]
    for link in (error, error.__cause__, error.__context__):
        for frame, _ in traceback.walk_tb(link.__traceback__ if link else None):
            if "lsm_monitor" in frame.f_code.co_filename:
                known += [repr(value) for value in frame.f_locals.values()]
    return "\n".join(known)


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        pytest.param(rtsp_faults.silent(), HealthCode.OPEN_TIMEOUT, id="silent peer"),
        pytest.param(rtsp_faults.hang_in("DESCRIBE"), HealthCode.OPEN_TIMEOUT, id="DESCRIBE"),
        pytest.param(rtsp_faults.hang_in("SETUP"), HealthCode.OPEN_TIMEOUT, id="SETUP hangs"),
        pytest.param(rtsp_faults.hang_in("PLAY"), HealthCode.OPEN_TIMEOUT, id="PLAY hangs"),
        pytest.param(rtsp_faults.answer_with(401), HealthCode.UNAUTHORIZED, id="401"),
        pytest.param(rtsp_faults.answer_with(403), HealthCode.UNAUTHORIZED, id="403"),
        pytest.param(rtsp_faults.answer_with(404), HealthCode.NOT_FOUND, id="404"),
        pytest.param(rtsp_faults.answer_with(454), HealthCode.PROTOCOL_ERROR, id="454"),
        pytest.param(rtsp_faults.answer_with(500), HealthCode.PROTOCOL_ERROR, id="500"),
        pytest.param(
            rtsp_faults.answer_with(461, "SETUP"), HealthCode.PROTOCOL_ERROR, id="no such way"
        ),
        pytest.param(rtsp_faults.only_audio(), HealthCode.NO_VIDEO, id="only audio"),
        pytest.param(rtsp_faults.hang_up_after(0), HealthCode.ENDED, id="hangs up at once"),
        pytest.param(rtsp_faults.hang_up_after(7), HealthCode.ENDED, id="hangs up"),
        pytest.param(rtsp_faults.stall_after(0), HealthCode.STALLED, id="never a picture"),
        pytest.param(rtsp_faults.stall_after(7), HealthCode.STALLED, id="stalls"),
        pytest.param(rtsp_faults.garbage_after(12), HealthCode.INVALID_DATA, id="garbage"),
    ],
)
def test_every_fault_has_its_reason_code_and_gives_no_password_away(
    clip: Clip, behaviour: Behaviour, code: HealthCode, capfd: pytest.CaptureFixture[str]
) -> None:
    with FaultyCamera(clip, [behaviour]) as camera:
        reader = Reader(spec_of(camera))
        error = reader.error()
    assert error.code is code
    assert str(error).startswith("camera 'bridge': ")
    assert camera.url in str(error)
    known = all_that_is_known_about(error)
    assert PASSWORD not in known
    assert quote(PASSWORD, safe="") not in known
    assert error.__cause__ is None
    assert error.__context__ is None
    assert capfd.readouterr() == ("", "")


def test_a_closed_port_is_refused(clip: Clip) -> None:
    camera = FaultyCamera(clip)
    camera.start()
    camera.stop()
    error = Reader(spec_of(camera)).error()
    assert error.code is HealthCode.CONNECTION_REFUSED
    assert "(connection refused); check that the camera is powered" in str(error)


@pytest.mark.parametrize("scheme", ["basic", "digest"])
@pytest.mark.parametrize("password", ["plain", PASSWORD, "%41", "ü" * 20])
def test_any_password_reaches_the_camera(
    clip: Clip, scheme: Literal["basic", "digest"], password: str
) -> None:
    with FaultyCamera(clip, login=Login("admin", password, scheme)) as camera:
        spec = dataclasses.replace(spec_of(camera), password=SecretStr(password))
        assert next(iter(Reader(spec))).image.shape == (96, 128, 3)
        wrong = dataclasses.replace(spec, password=SecretStr(password + "x"))
        assert Reader(wrong).error().code is HealthCode.UNAUTHORIZED


def test_only_due_key_frames_are_decoded(clip: Clip) -> None:
    with FaultyCamera(clip, [rtsp_faults.hang_up_after(41)], pace=4.0) as camera:
        reader = Reader(dataclasses.replace(spec_of(camera), interval_s=1.0))
        reader.error()
    # A key frame every 0.5 s; the first, and then one per second, at the camera's own phase.
    first, *others = [picture.sequence for picture in reader.pictures]
    start = others[0]
    assert (first, others) == (0, [start, start + 10, start + 20, start + 30][: len(others)])
    assert [picture.pts_s for picture in reader.pictures[1:]] == [n / 10 for n in others]
    assert reader.skipped("not_key") == 32
    assert reader.skipped("not_due") == 9 - len(reader.pictures)


def test_a_key_frame_looks_the_same_as_after_full_decoding(clip: Clip) -> None:
    images = {}
    for decode in ("keyframes", "all"):
        with FaultyCamera(clip, [rtsp_faults.hang_up_after(11)]) as camera:
            reader = Reader(dataclasses.replace(spec_of(camera), decode=decode))
            reader.error()
        images[decode] = {picture.sequence: picture.image for picture in reader.pictures}
    assert set(images["keyframes"]) == {0, 5, 10}
    assert set(images["all"]) == set(range(11))
    for sequence, image in images["keyframes"].items():
        np.testing.assert_array_equal(image, images["all"][sequence])
        assert np.abs(image.astype(int) - street(3 * sequence)).mean() < 12


def clip_with_b_frames() -> Clip:
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = 128, 96, "yuv420p"
    encoder.framerate, encoder.time_base = Fraction(FPS), Fraction(1, FPS)
    encoder.options = {"x264-params": "keyint=10:min-keyint=10:scenecut=0:bframes=3:b-adapt=0"}
    frames = [av.VideoFrame.from_ndarray(street(3 * i), format="rgb24") for i in range(40)]
    packets = [packet for frame in [*frames, None] for packet in encoder.encode(frame)]
    units = [
        AccessUnit(
            tuple(nal for nal in split_annex_b(bytes(packet)) if nal[0] & 31 in {1, 5, 7, 8}),
            (packet.pts or 0) * TICKS_PER_S // FPS,
            packet.is_keyframe,
        )
        for packet in packets
    ]
    assert any(
        not earlier.pts_ticks < later.pts_ticks for earlier, later in itertools.pairwise(units)
    )
    parameter_sets = {nal[0] & 31: nal for nal in units[0].nal_units}
    return Clip(128, 96, FPS, parameter_sets[7], parameter_sets[8], tuple(units))


def test_b_frames_neither_delay_nor_disorder_the_key_frames() -> None:
    received = []
    with FaultyCamera(clip_with_b_frames(), pace=2.0) as camera:
        reader = Reader(spec_of(camera))
        for picture in itertools.islice(reader, 3):
            received.append(reader.received())
            difference = picture.image.astype(int) - street(3 * picture.sequence)
            assert np.abs(difference).mean() < 12
    assert [picture.sequence for picture in reader.pictures] == [0, 10, 20]
    # Each came out of the decoder before another packet went in.
    assert received == [1, 11, 21]


def test_a_stop_takes_effect_with_the_next_packet(clip: Clip) -> None:
    with FaultyCamera(clip) as camera:
        # Nothing is due for an hour: the stop must not wait for a picture.
        reader = Reader(dataclasses.replace(spec_of(camera), interval_s=3600.0))
        pictures = iter(reader)
        next(pictures)
        timer = threading.Timer(0.2, reader.stop.set)
        timer.start()
        started_s = SystemClock().monotonic_s()
        assert next(pictures, None) is None
        timer.join()
    assert SystemClock().monotonic_s() - started_s < 0.9


def test_a_silent_camera_delays_a_stop_by_the_read_time_out_at_most(clip: Clip) -> None:
    with FaultyCamera(clip, [rtsp_faults.stall_after(2)]) as camera:
        reader = Reader(spec_of(camera))
        pictures = iter(reader)
        next(pictures)
        timer = threading.Timer(0.2, reader.stop.set)
        timer.start()
        started_s = SystemClock().monotonic_s()
        # Stopped in the middle of a read: no error, although nothing came.
        assert next(pictures, None) is None
        timer.join()
    assert (
        0.2 < SystemClock().monotonic_s() - started_s < 0.2 + reader.spec.read_timeout_s + 0.4
    )


def test_a_probe_tells_what_the_camera_is(clip: Clip) -> None:
    with FaultyCamera(clip, login=Login("admin", PASSWORD)) as camera:
        report = probe(spec_of(camera), clock=SystemClock(), duration_s=2.5)
    assert report.url == camera.url
    assert report.size_wh == (128, 96)
    assert report.facts.codec == "h264"
    assert report.facts.fps == pytest.approx(FPS, rel=0.2)
    assert report.facts.keyframe_interval_s == pytest.approx(0.5, abs=0.05)
    assert report.facts.has_timestamps
    assert report.codes == ()
    assert report.open_s < report.first_picture_s + 1e-6 < 1.0


def clip_without_key_frames(clip: Clip) -> Clip:
    """Return what a camera sends that was told to refresh its pictures bit by bit."""
    coded = [unit.nal_units for unit in clip.access_units if not unit.is_key]
    # The server wants a key picture to start from; the player looks into the video itself.
    units = (
        AccessUnit(nals, i * TICKS_PER_S // FPS, is_key=True) for i, nals in enumerate(coded)
    )
    return dataclasses.replace(clip, access_units=tuple(units))


def test_a_camera_without_key_frames_is_told_what_to_change(clip: Clip) -> None:
    with FaultyCamera(clip_without_key_frames(clip)) as camera:
        reader = Reader(spec_of(camera), clock=FastClock())
        error = reader.error()
    assert isinstance(error, SourceStalledError)
    assert error.code is HealthCode.INVALID_DATA
    assert "'cameras.bridge.decode: all'" in str(error)
    assert reader.pictures == []
    assert reader.skipped("not_key") > 1


def test_a_probe_of_a_camera_without_key_frames_says_so(clip: Clip) -> None:
    with (
        FaultyCamera(clip_without_key_frames(clip)) as camera,
        pytest.raises(SourceStalledError, match="no picture came within"),
    ):
        probe(spec_of(camera), clock=SystemClock(), duration_s=0.5)


def with_a_hole(clip: Clip) -> Clip:
    """Return the clip as a network delivers it that loses a part of every key picture."""

    def damaged(unit: AccessUnit) -> AccessUnit:
        if not unit.is_key:
            return unit
        *parameter_sets, picture = unit.nal_units
        half = picture[: len(picture) // 2]
        return dataclasses.replace(unit, nal_units=(*parameter_sets, half))

    units = (clip.access_units[0], *(damaged(unit) for unit in clip.access_units[1:]))
    return dataclasses.replace(clip, access_units=units)


@pytest.mark.parametrize("decode", ["keyframes", "all"])
def test_a_picture_with_a_hole_is_not_judged(
    clip: Clip, decode: Literal["keyframes", "all"]
) -> None:
    with FaultyCamera(with_a_hole(clip), [rtsp_faults.hang_up_after(7)], pace=4.0) as camera:
        reader = Reader(dataclasses.replace(spec_of(camera), decode=decode))
        reader.error()
    assert 5 not in {picture.sequence for picture in reader.pictures}
    assert reader.skipped("corrupt") >= 1
