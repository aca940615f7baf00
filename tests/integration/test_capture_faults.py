"""Every fault of a camera is told by its reason code, in time, and touches nothing else.

One camera fails in every way there is while another is read; afterwards no thread and no file
of the failed one is left.
"""

from __future__ import annotations

import dataclasses
import itertools
import threading
from collections.abc import Iterator
from typing import Self

import numpy as np
import numpy.typing as npt
import pytest

from lsm_monitor.capture.grab import grab_picture
from lsm_monitor.clock import SystemClock
from lsm_monitor.demo.clip import Clip, encode_clip
from lsm_monitor.errors import SourceOpenError, SourceStalledError
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import HealthCode
from tests import rtsp_faults
from tests.reading import FPS, FastClock, Reader, open_files, spec_of, street
from tests.rtsp_faults import FaultyCamera, healthy
from tests.rtsp_stream_faults import FAULTS, retimed, with_reports

ERRORS = {
    "hang": HealthCode.OPEN_TIMEOUT,
    "hang_in_describe": HealthCode.OPEN_TIMEOUT,
    "hang_in_stream": HealthCode.STALLED,
    "close": HealthCode.ENDED,
    "unauthorized": HealthCode.UNAUTHORIZED,
    "not_found": HealthCode.NOT_FOUND,
    "no_bandwidth": HealthCode.PROTOCOL_ERROR,
    "silent": HealthCode.STALLED,
    "garbage_bytes": HealthCode.STALLED,
    "corrupted": HealthCode.INVALID_DATA,
    "truncated": HealthCode.INVALID_DATA,
    "flood": HealthCode.INVALID_DATA,
    "flood_in_time": HealthCode.INVALID_DATA,
    "flood_of_answers": HealthCode.STALLED,
    "flood_of_strangers": HealthCode.STALLED,
    "slow_loris": HealthCode.OPEN_TIMEOUT,
    "endless_headers": HealthCode.OPEN_TIMEOUT,
    "redirect": HealthCode.OPEN_TIMEOUT,
    "wrong_sdp": HealthCode.NO_VIDEO,
    "long_gop": HealthCode.INVALID_DATA,
    "time_back": HealthCode.INVALID_DATA,
    "time_jump": HealthCode.INVALID_DATA,
    "time_repeats": HealthCode.INVALID_DATA,
}
HARMLESS = ("slow", "4k", "new_size")


@pytest.fixture(scope="module")
def clip() -> Clip:
    return encode_clip([street(3 * i) for i in range(20)], fps=FPS, gop_s=0.5)


class Neighbour:
    """Another camera, read on another thread all the while."""

    def __init__(self, camera: FaultyCamera) -> None:
        self._reader = Reader(spec_of(camera))
        self._came = threading.Condition()
        self._thread = threading.Thread(target=self._read)

    def _read(self) -> None:
        for _ in self._reader:
            with self._came:
                self._came.notify_all()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.stop.set()
        self._thread.join()

    def goes_on(self) -> bool:
        """Return whether one more picture comes in time."""
        with self._came:
            return self._came.wait(timeout=3.0)


@pytest.fixture(scope="module")
def neighbour(clip: Clip) -> Iterator[Neighbour]:
    with FaultyCamera(clip) as camera, Neighbour(camera) as neighbour:
        assert neighbour.goes_on()
        yield neighbour


def test_every_fault_is_tested() -> None:
    assert set(FAULTS) == {*ERRORS, *HARMLESS}


@pytest.mark.parametrize("fault", ERRORS)
def test_a_fault_is_told_in_time_leaves_nothing_behind_and_touches_no_other_camera(
    clip: Clip, neighbour: Neighbour, fault: str
) -> None:
    with FaultyCamera(clip, [FAULTS[fault]()]) as camera:
        reader = Reader(spec_of(camera), FastClock() if fault == "long_gop" else None)
        before = open_files(), threading.active_count()
        started_s = SystemClock().monotonic_s()
        error = reader.error()
        took_s = SystemClock().monotonic_s() - started_s
        camera.drop_connections()
        after = open_files(), threading.active_count()
    codes = {ERRORS[fault]}
    if fault == "garbage_bytes":  # FFmpeg looks for a packet in it, or gives up before
        codes.add(HealthCode.ENDED)
    assert error.code in codes
    # Both time-outs, the stream before the fault, and three key-frame intervals of patience.
    assert took_s < 5.0
    assert after <= before
    assert neighbour.goes_on()


@pytest.mark.parametrize("fault", HARMLESS)
def test_what_is_only_unusual_is_read(clip: Clip, neighbour: Neighbour, fault: str) -> None:
    # Five seconds between two pictures are a quarter of one here.
    with FaultyCamera(clip, [FAULTS[fault]()], pace=20.0 if fault == "slow" else 2.0) as camera:
        pictures = list(itertools.islice(Reader(spec_of(camera)), 4))
    assert len(pictures) == 4
    sizes = {picture.image.shape[:2] for picture in pictures}
    expected = {"slow": {(96, 128)}, "4k": {(2160, 3840)}, "new_size": {(96, 128), (272, 480)}}
    assert sizes == expected[fault]
    assert neighbour.goes_on()


def test_a_camera_can_fail_and_recover_while_it_runs(clip: Clip) -> None:
    with FaultyCamera(clip) as camera:
        spec = spec_of(camera)
        assert len(list(itertools.islice(Reader(spec), 1))) == 1
        camera.become(FAULTS["not_found"]())
        assert Reader(spec).error().code is HealthCode.NOT_FOUND
        camera.stop()
        assert Reader(spec).error().code is HealthCode.CONNECTION_REFUSED
        camera.start()
        camera.become(healthy)
        assert len(list(itertools.islice(Reader(spec), 1))) == 1


def test_a_redirect_to_a_camera_that_answers_is_followed(clip: Clip) -> None:
    with FaultyCamera(clip) as moved, FaultyCamera(clip) as camera:
        camera.become(rtsp_faults.redirect(moved.url))
        assert len(list(itertools.islice(Reader(spec_of(camera)), 2))) == 2


def test_times_that_wrap_around_are_no_jump(clip: Clip) -> None:
    # RTP counts 1/90,000 s in 32 bits: half a second after the beginning it starts anew.
    with FaultyCamera(clip, [rtsp_faults.clock_starts_at(2**32 - 45_000)]) as camera:
        reader = Reader(spec_of(camera))
        pictures = list(itertools.islice(reader, 4))
    assert [picture.pts_s for picture in pictures] == [None, 0.5, 1.0, 1.5]


def test_a_camera_whose_clock_is_set_by_a_report_goes_on(clip: Clip) -> None:
    # Its RTCP reports say 1900 at first and then today, as after a visit of the time server.
    with FaultyCamera(clip, [with_reports([0, 3_900_000_000])]) as camera:
        pictures = list(itertools.islice(Reader(spec_of(camera)), 4))
    assert [picture.pts_s for picture in pictures] == [None, 0.5, 1.0, 1.5]


def test_times_that_step_back_a_little_cost_a_few_pictures_only(clip: Clip) -> None:
    def half_a_second_back(number: int, ticks: int) -> int:
        return ticks - 45_000 * (number > 7)

    with FaultyCamera(clip, [retimed(half_a_second_back)]) as camera:
        reader = Reader(spec_of(camera))
        pictures = list(itertools.islice(reader, 4))
    assert [picture.sequence for picture in pictures] == [0, 5, 15, 20]
    assert reader.skipped("not_rising") == 1


@pytest.mark.parametrize("fault", ["hang", "not_found", "hang_in_stream"])
def test_a_grab_ends_like_a_camera_that_is_watched(clip: Clip, fault: str) -> None:
    with FaultyCamera(clip, [FAULTS[fault](), healthy]) as camera:
        if fault == "hang_in_stream":  # the first key picture was there before the fault
            assert grab(camera).shape == (96, 128, 3)
        else:
            with pytest.raises(SourceOpenError) as caught:
                grab(camera)
            assert caught.value.code is ERRORS[fault]
        files = open_files()
        assert grab(camera).shape == (96, 128, 3)
        camera.drop_connections()
        assert open_files() <= files


def grab(camera: FaultyCamera) -> npt.NDArray[np.uint8]:
    picture = grab_picture(
        spec_of(camera), stop=threading.Event(), metrics=Metrics(), clock=SystemClock()
    )
    assert picture is not None
    return picture.image


def test_a_grab_without_a_picture_says_what_to_change(clip: Clip) -> None:
    with (
        FaultyCamera(clip, [rtsp_faults.garbage_after(0)]) as camera,
        pytest.raises(SourceStalledError, match=r"no picture came within 0\.5 s"),
    ):
        grab_picture(
            spec_of(camera),
            stop=threading.Event(),
            metrics=Metrics(),
            clock=SystemClock(),
            patience_s=0.5,
        )


def test_a_grab_that_is_stopped_returns_nothing(clip: Clip) -> None:
    stop = threading.Event()
    stop.set()
    with FaultyCamera(clip) as camera:
        spec = dataclasses.replace(spec_of(camera), interval_s=60.0)
        assert grab_picture(spec, stop=stop, metrics=Metrics(), clock=SystemClock()) is None


def test_sixty_reconnects_leave_no_thread_and_no_file(clip: Clip) -> None:
    behaviours = [FAULTS["not_found"](), rtsp_faults.hang_up_after(1)]
    with FaultyCamera(clip, behaviours * 35, pace=20.0) as camera:

        def reconnect(times: int) -> tuple[int, int]:
            for _ in range(times):
                Reader(spec_of(camera)).error()
            camera.drop_connections()
            return open_files(), threading.active_count()

        before = reconnect(10)
        assert reconnect(60) <= before
