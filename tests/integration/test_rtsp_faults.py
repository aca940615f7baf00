"""The faulty camera of the capture tests: it fails exactly as it is told to."""

from __future__ import annotations

import threading
from collections.abc import Callable

import av
import pytest

from lsm_monitor.demo.clip import Clip
from tests.rtsp_client import PACE, PICTURES, TIMEOUT_S, Client, first_pictures, grey_clip
from tests.rtsp_faults import (
    Behaviour,
    FaultyCamera,
    answer_with,
    garbage_after,
    hang_in,
    hang_up_after,
    healthy,
    only_audio,
    silent,
    stall_after,
)


@pytest.fixture(scope="module")
def clip() -> Clip:
    return grey_clip()


@pytest.mark.parametrize(
    ("behaviour", "pictures"),
    [(healthy, 4), (hang_up_after(3), 3), (stall_after(3), 3)],
    ids=["healthy", "hangs up", "stalls"],
)
def test_a_faulty_camera_sends_what_it_was_told_to(
    clip: Clip, behaviour: Behaviour, pictures: int
) -> None:
    with FaultyCamera(clip, [behaviour], pace=PACE) as camera, Client(camera.url) as client:
        client.ask("PLAY", client.set_up())
        client.socket.settimeout(0.5)
        markers = 0
        try:
            while markers < 4 and (packet := client.packet()):
                markers += packet[1] >> 7
        except TimeoutError:
            assert behaviour is not healthy
        assert markers == pictures


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        pytest.param(answer_with(404), av.error.HTTPNotFoundError, id="not found"),
        pytest.param(answer_with(500, "SETUP"), av.error.HTTPServerError, id="broken"),
        pytest.param(hang_in("DESCRIBE"), av.error.InvalidDataError, id="hangs"),
        pytest.param(silent(), av.error.InvalidDataError, id="silent"),
    ],
)
def test_a_faulty_camera_fails_as_players_know_it(
    clip: Clip, behaviour: Behaviour, error: type[Exception]
) -> None:
    with FaultyCamera(clip, [behaviour]) as camera, pytest.raises(error):
        av.open(camera.url, options={"rtsp_transport": "tcp"}, timeout=(0.5, 0.5))


def test_a_microphone_has_no_video(clip: Clip) -> None:
    with (
        FaultyCamera(clip, [only_audio()]) as camera,
        av.open(camera.url, options={"analyzeduration": "1"}, timeout=(0.5, 0.5)) as container,
    ):
        assert not container.streams.video


def test_garbage_arrives_as_pictures_that_cannot_be_decoded(clip: Clip) -> None:
    with (
        FaultyCamera(clip, [garbage_after(3 * PICTURES)], pace=PACE) as camera,
        pytest.raises(av.error.InvalidDataError),
    ):
        first_pictures(camera.url, 10 * PICTURES)


@pytest.fixture
def make_waiter() -> Callable[[FaultyCamera], threading.Thread]:
    """Start a thread that ends with the third connection."""

    def make(camera: FaultyCamera) -> threading.Thread:
        thread = threading.Thread(
            target=camera.wait_for_connections, args=(3,), kwargs={"timeout_s": TIMEOUT_S}
        )
        thread.start()
        return thread

    return make


def test_each_connection_behaves_as_its_entry_says(
    clip: Clip, make_waiter: Callable[[FaultyCamera], threading.Thread]
) -> None:
    with FaultyCamera(clip, [answer_with(404), healthy], pace=PACE) as camera:
        waiter = make_waiter(camera)
        with pytest.raises(av.error.HTTPNotFoundError):
            first_pictures(camera.url, 1)
        assert len(first_pictures(camera.url, 2)) == 2
        assert len(first_pictures(camera.url, 2)) == 2  # the last entry holds for the rest
        waiter.join(TIMEOUT_S)
        assert not waiter.is_alive()
        assert camera.connections == 3
