"""The demo's camera, with a real player (PyAV) and with raw sockets."""

from __future__ import annotations

import gc
import itertools
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import av
import pytest

from lsm_monitor.demo.clip import Clip
from lsm_monitor.demo.rtsp_server import MAX_CONNECTIONS, RtspServer
from lsm_monitor.demo.rtsp_wire import Login
from tests.rtsp_client import FPS, PACE, PICTURES, Client, first_pictures, grey_clip, play


@pytest.fixture(scope="module")
def clip() -> Clip:
    return grey_clip()


@pytest.fixture
def server(clip: Clip) -> Iterator[RtspServer]:
    with RtspServer(clip, pace=PACE) as server:
        yield server


def test_a_player_sees_every_picture_in_order_and_time_rises_over_the_rounds(
    server: RtspServer,
) -> None:
    seen = first_pictures(server.url, 3 * PICTURES)
    assert [number for _, number in seen] == list(range(PICTURES)) * 3
    assert [time_s for time_s, _ in seen] == pytest.approx(
        [i / FPS for i in range(3 * PICTURES)]
    )


def test_pictures_come_in_real_time(clip: Clip) -> None:
    with RtspServer(clip, pace=4.0) as server, Client(server.url) as client:
        session = client.set_up()
        started_s = time.monotonic()
        client.ask("PLAY", session)
        markers = 0
        while markers < 8:
            markers += client.packet()[1] >> 7
        # The eighth picture is due 7 / FPS after the first; the upper bound is generous.
        assert 7 / FPS / 4 - 0.02 < time.monotonic() - started_s < 7 / FPS / 4 + 1.0


def test_two_players_at_once_see_the_same_moment(server: RtspServer) -> None:
    with ThreadPoolExecutor(2) as pool:
        seen = list(pool.map(lambda url: first_pictures(url, 30), [server.url] * 2))
    for pictures in seen:
        numbers = [number for _, number in pictures]
        assert numbers == [(numbers[0] + i) % PICTURES for i in range(30)]


def test_a_late_player_joins_at_the_newest_key_picture(clip: Clip) -> None:
    with RtspServer(clip, pace=PACE) as server:
        early = play(server.url)
        for _, number in early:
            if number == 6:
                break
        late = play(server.url)
        assert next(late)[1] in {4, 8, 0}  # key pictures; 4 is the newest if we were quick
        early.close()  # type: ignore[attr-defined]  # a generator
        late.close()  # type: ignore[attr-defined]  # a generator


def test_a_player_that_wants_udp_falls_back_to_tcp(server: RtspServer) -> None:
    pictures = itertools.islice(play(server.url, transport="udp+tcp"), 3)
    assert [number for _, number in pictures] == [0, 1, 2]


@pytest.mark.parametrize("scheme", ["basic", "digest"])
def test_only_the_right_password_is_let_in(clip: Clip, scheme: str) -> None:
    login = Login("bob", "p@ss:w", "basic" if scheme == "basic" else "digest")
    with RtspServer(clip, login=login, pace=PACE) as server:
        right = server.url.replace("//", "//bob:p%40ss%3Aw@")
        wrong = server.url.replace("//", "//bob:wrong@")
        assert len(first_pictures(right, 3)) == 3
        for url in (wrong, server.url):
            with pytest.raises(av.error.HTTPUnauthorizedError):
                first_pictures(url, 1)
        with Client(server.url) as client:
            status, head = client.ask("DESCRIBE")
        assert status == 401
        assert f"WWW-Authenticate: {scheme.capitalize()} realm=" in head


def test_requests_get_the_status_that_rfc_2326_says(server: RtspServer) -> None:
    with Client(server.url) as client:
        assert client.ask("OPTIONS", url="*")[0] == 200
        assert client.ask("DESCRIBE")[0] == 200
        assert client.ask("DESCRIBE", url=server.url + "x")[0] == 404
        assert client.ask("ANNOUNCE")[0] == 501
        assert client.ask("PLAY", "Session: 1")[0] == 454
        assert client.ask("GET_PARAMETER")[0] == 200
        udp = "Transport: RTP/AVP;unicast;client_port=5000-5001"
        assert client.ask("SETUP", udp)[0] == 461
        track = server.url + "/track0"
        tcp = "Transport: RTP/AVP/TCP;unicast;interleaved=2-3"
        status, head = client.ask("SETUP", tcp, url=track)
        assert status == 200
        assert "interleaved=2-3" in head
        session = re.search(r"Session: (\w+)", head)
        assert session is not None
        assert client.ask("TEARDOWN", f"Session: {session[1]}")[0] == 200
        assert client.hung_up()


def test_keep_alives_and_receiver_reports_are_taken_while_playing(server: RtspServer) -> None:
    with Client(server.url) as client:
        session = client.set_up()
        assert client.ask("PLAY", session)[0] == 200
        client.socket.sendall(b"$\x01\x00\x08" + b"\x80\xc9\x00\x01abcd")
        client.socket.sendall(
            f"GET_PARAMETER {server.url} RTSP/1.0\r\nCSeq: 77\r\n{session}\r\n\r\n".encode()
        )
        received = b""
        while b"RTSP/1.0 200 OK\r\nCSeq: 77\r\n" not in received:
            received += client.socket.recv(65536)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", id="http"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", id="tls"),
        pytest.param(b"A" * 100_000, id="no end"),
        pytest.param(b"OPTIONS * RTSP/1.0\r\n" + b"X: y\r\n" * 5000, id="huge headers"),
        pytest.param(
            b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 99999999\r\n\r\n", id="huge body"
        ),
        pytest.param(
            b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: -1\r\n\r\n", id="negative body"
        ),
    ],
)
def test_hostile_input_ends_its_own_connection_only(server: RtspServer, sent: bytes) -> None:
    pictures = play(server.url)
    next(pictures)
    with Client(server.url) as client:
        client.socket.sendall(sent)
        assert client.hung_up()
    assert len(list(itertools.islice(pictures, 5))) == 5


def test_more_connections_than_allowed_are_refused(server: RtspServer) -> None:
    clients = [Client(server.url) for _ in range(MAX_CONNECTIONS)]
    for client in clients:
        assert client.ask("OPTIONS")[0] == 200
    with Client(server.url) as extra:
        assert extra.hung_up()
    for client in clients:
        client.__exit__()


def test_a_client_that_does_not_read_leaves_the_others_alone(server: RtspServer) -> None:
    with Client(server.url) as sleeper:
        sleeper.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        sleeper.ask("PLAY", sleeper.set_up())
        assert len(first_pictures(server.url, 2 * PICTURES)) == 2 * PICTURES


def test_stopping_is_immediate_and_leaves_nothing_behind(
    clip: Clip, recwarn: pytest.WarningsRecorder
) -> None:
    threads = threading.active_count()
    server = RtspServer(clip)
    server.start()
    idle = Client(server.url)
    playing = Client(server.url)
    playing.ask("PLAY", playing.set_up())
    started_s = time.monotonic()
    server.stop()
    assert time.monotonic() - started_s < 1.0
    assert threading.active_count() == threads
    assert idle.hung_up()
    server.stop()  # once more does no harm
    with pytest.raises(ConnectionRefusedError):
        Client(server.url)
    idle.__exit__()
    playing.__exit__()
    gc.collect()  # an unclosed socket would warn here
    assert not recwarn.list


def test_a_camera_comes_back_at_the_same_address(clip: Clip) -> None:
    server = RtspServer(clip, pace=PACE)
    for _ in range(2):
        with server:
            assert [number for _, number in first_pictures(server.url, 2)] == [0, 1]
