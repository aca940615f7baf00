"""Reading a real HTTP camera on loopback: snapshots, motion JPEG, playlists; good and bad."""

from __future__ import annotations

import dataclasses
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import av
import numpy as np
import pytest
from pydantic import SecretStr

from lsm_monitor.capture import hls
from lsm_monitor.capture.grab import grab_picture
from lsm_monitor.capture.open_source import open_source
from lsm_monitor.capture.probe import probe
from lsm_monitor.capture.source import Picture, SourceSpec
from lsm_monitor.capture.still import MAX_PICTURE_BYTES
from lsm_monitor.clock import SystemClock
from lsm_monitor.demo.rtsp_wire import Login
from lsm_monitor.errors import SourceError
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import CameraId, HealthCode
from tests.certificates import Certificate, self_signed
from tests.http_camera import (
    HttpCamera,
    Route,
    drip,
    folder,
    hang,
    jpeg,
    mjpeg,
    number_of,
    says,
    still,
)

PASSWORD = "p@ss/w:o?r#d% é'\"\\"


def spec_of(camera: HttpCamera, path: str = "/snapshot.jpg") -> SourceSpec:
    return SourceSpec(
        camera_id=CameraId("bridge"),
        url=camera.url(path),
        username=None,
        password=None,
        transport="tcp",
        decode="keyframes",
        interval_s=0.05,
        open_timeout_s=1.0,
        read_timeout_s=0.5,
    )


def logged_in(spec: SourceSpec, password: str = PASSWORD) -> SourceSpec:
    return dataclasses.replace(spec, username="admin", password=SecretStr(password))


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def read(spec: SourceSpec, metrics: Metrics | None = None) -> Iterator[Picture]:
    source = open_source(spec, metrics=metrics or Metrics(), clock=SystemClock())
    try:
        yield from source.pictures(threading.Event())
    finally:
        source.close()


def first_numbers(spec: SourceSpec, count: int) -> list[int]:
    return [number_of(picture.image) for picture in itertools.islice(read(spec), count)]


def error_of(spec: SourceSpec) -> SourceError:
    with pytest.raises(SourceError) as caught:
        list(read(spec))
    assert str(caught.value).startswith("camera 'bridge': ")
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return caught.value


def skipped(metrics: Metrics, reason: str) -> float:
    key = f'lsm_camera_packets_skipped_total{{camera="bridge",reason="{reason}"}}'
    return metrics.snapshot().get(key, 0.0)


def test_a_snapshot_camera_is_asked_once_per_interval_on_one_connection() -> None:
    with HttpCamera() as camera:
        spec = dataclasses.replace(spec_of(camera), interval_s=0.1)
        started_s = SystemClock().monotonic_s()
        assert first_numbers(spec, 4) == [1, 2, 3, 4]
        assert SystemClock().monotonic_s() - started_s >= 0.3
        assert len({seen.connection for seen in camera.seen}) == 1
        assert [seen.if_none_match for seen in camera.seen] == [None, '"1"', '"2"', '"3"']


def test_the_same_snapshot_again_is_no_picture_and_then_a_stall(metrics: Metrics) -> None:
    with HttpCamera() as camera:
        camera.routes["/snapshot.jpg"] = still
        pictures = read(spec_of(camera), metrics)
        assert number_of(next(pictures).image) == 1
        with pytest.raises(SourceError, match="gave no new picture") as caught:
            next(pictures)
    assert caught.value.code is HealthCode.STALLED
    assert skipped(metrics, "not_modified") >= 2


def test_a_connection_that_the_camera_closed_meanwhile_is_opened_again() -> None:
    def hang_up_silently(handler: object) -> None:
        camera.snapshot(handler)  # type: ignore[arg-type] # a Handler
        handler.close_connection = True  # type: ignore[attr-defined]

    with HttpCamera() as camera:
        camera.routes["/snapshot.jpg"] = hang_up_silently
        assert first_numbers(spec_of(camera), 3) == [1, 2, 3]
        assert len({seen.connection for seen in camera.seen}) == 3


@pytest.mark.parametrize("scheme", ["basic", "digest"])
@pytest.mark.parametrize("password", ["plain", PASSWORD, "%41", "ü" * 200])
def test_any_password_reaches_the_camera_and_is_then_sent_at_once(
    scheme: Literal["basic", "digest"], password: str
) -> None:
    with HttpCamera(login=Login("admin", password, scheme)) as camera:
        spec = logged_in(spec_of(camera), password)
        assert first_numbers(spec, 3) == [1, 2, 3]
        assert [seen.authorization is None for seen in camera.seen[:4]] == [True] + 3 * [False]
        error = error_of(logged_in(spec, password + "x"))
    assert error.code is HealthCode.UNAUTHORIZED
    assert password not in str(error)
    assert quote(password, safe="") not in str(error)


def test_a_password_is_never_sent_to_the_host_that_a_redirect_names() -> None:
    login = Login("admin", PASSWORD, "basic")
    with HttpCamera(login=login) as camera, HttpCamera(login=login) as stranger:
        moved = says(302, Location=stranger.url("/snapshot.jpg"))
        camera.routes["/moved"] = moved
        error = error_of(logged_in(spec_of(camera, "/moved")))
        assert error.code is HealthCode.UNAUTHORIZED
        assert camera.seen[-1].authorization is not None
        assert [seen.authorization for seen in stranger.seen] == [None]
    place = stranger.url("/").rstrip("/")
    assert f"from {place}, to which it redirects: the login is sent only" in str(error)


def test_a_redirect_to_another_host_is_followed_without_a_login() -> None:
    with HttpCamera() as camera, HttpCamera() as other:
        camera.routes["/moved"] = says(307, Location=other.url("/snapshot.jpg"))
        assert first_numbers(spec_of(camera, "/moved"), 2) == [1, 2]


@pytest.mark.parametrize(
    ("route", "code", "why"),
    [
        pytest.param(hang, HealthCode.OPEN_TIMEOUT, "no answer", id="hangs"),
        pytest.param(
            drip(b"HTTP/1.1 200 OK\r\n" * 9, every_s=0.1),
            HealthCode.OPEN_TIMEOUT,
            "no answer",
            id="slow loris",
        ),
        pytest.param(
            drip(b"X: y\r\n" * 999, every_s=0.0), HealthCode.PROTOCOL_ERROR, "", id="not HTTP"
        ),
        pytest.param(
            drip(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200, every_s=0.0),
            HealthCode.PROTOCOL_ERROR,
            "",
            id="endless headers",
        ),
        pytest.param(says(403), HealthCode.UNAUTHORIZED, "HTTP status 403", id="403"),
        pytest.param(says(404), HealthCode.NOT_FOUND, "HTTP status 404", id="404"),
        pytest.param(says(503), HealthCode.PROTOCOL_ERROR, "HTTP status 503", id="503"),
        pytest.param(
            says(302, Location="/snapshot.jpg"),
            HealthCode.PROTOCOL_ERROR,
            "it redirects for ever",
            id="redirects for ever",
        ),
        pytest.param(
            says(302, Location="file:///etc/passwd"),
            HealthCode.PROTOCOL_ERROR,
            "it redirects to nowhere",
            id="redirects to a file",
        ),
        pytest.param(
            says(302, Location="http://a b/snapshot.jpg"),
            HealthCode.PROTOCOL_ERROR,
            "it redirects to nowhere",
            id="redirects to no host",
        ),
        pytest.param(
            says(200, b"<html>", Content_Type="text/html"),
            HealthCode.PROTOCOL_ERROR,
            "its content type is text/html",
            id="a page",
        ),
        pytest.param(
            says(401, WWW_Authenticate='Bearer realm="x"'),
            HealthCode.UNAUTHORIZED,
            "HTTP status 401",
            id="unknown login",
        ),
    ],
)
def test_every_fault_of_the_answer_has_its_reason_code(
    route: Route, code: HealthCode, why: str
) -> None:
    with HttpCamera() as camera:
        camera.routes["/snapshot.jpg"] = route
        started_s = SystemClock().monotonic_s()
        error = error_of(spec_of(camera))
        assert SystemClock().monotonic_s() - started_s < 2.0
    assert error.code is code
    assert why in str(error)


def test_a_closed_port_is_refused() -> None:
    with HttpCamera() as camera:
        spec = spec_of(camera)
    assert error_of(spec).code is HealthCode.CONNECTION_REFUSED


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(jpeg(1)[:-20], id="cut"),
        pytest.param(b"\xff\xd8garbage\xff\xd9", id="garbage"),
        pytest.param(
            jpeg(1).replace((48).to_bytes(2, "big") + (64).to_bytes(2, "big"), b"\xff" * 4),
            id="claims 65535 x 65535 pixels",
        ),
    ],
)
def test_a_damaged_snapshot_is_counted_and_not_judged(body: bytes, metrics: Metrics) -> None:
    with HttpCamera() as camera:
        camera.routes["/snapshot.jpg"] = says(200, body, Content_Type="image/jpeg")
        with pytest.raises(SourceError) as caught:
            list(read(spec_of(camera), metrics))
    assert caught.value.code is HealthCode.STALLED
    assert skipped(metrics, "corrupt") >= 2


def test_a_picture_without_end_is_cut_off() -> None:
    def endless(handler: object) -> None:
        handler.send_response(200)  # type: ignore[attr-defined] # a Handler
        handler.send_header("Content-Type", "image/jpeg")  # type: ignore[attr-defined]
        handler.end_headers()  # type: ignore[attr-defined]
        handler.close_connection = True  # type: ignore[attr-defined]
        try:
            for _ in range(2 * MAX_PICTURE_BYTES >> 20):
                handler.wfile.write(bytes(1 << 20))  # type: ignore[attr-defined]
        except OSError:
            return

    with HttpCamera() as camera:
        camera.routes["/snapshot.jpg"] = endless
        error = error_of(dataclasses.replace(spec_of(camera), read_timeout_s=10.0))
    assert error.code is HealthCode.INVALID_DATA
    assert "larger than 32 MB" in str(error)


@pytest.mark.parametrize("with_length", [True, False], ids=["length", "boundary only"])
def test_of_motion_jpeg_only_due_pictures_are_decoded(
    *, with_length: bool, metrics: Metrics
) -> None:
    with HttpCamera() as camera:
        camera.routes["/video"] = mjpeg(fps=50, with_length=with_length)
        spec = dataclasses.replace(spec_of(camera, "/video"), interval_s=0.2)
        pictures = list(itertools.islice(read(spec, metrics), 3))
    for picture in pictures:
        assert number_of(picture.image) == (picture.sequence + 1) % 13 or picture.sequence > 11
    assert pictures[2].sequence > pictures[1].sequence + 1
    assert skipped(metrics, "not_due") > 2


def test_motion_jpeg_that_ends_hung_up() -> None:
    with HttpCamera() as camera:
        camera.routes["/video"] = mjpeg(pictures=3)
        assert error_of(spec_of(camera, "/video")).code is HealthCode.ENDED


def test_motion_jpeg_that_stops_is_a_stall() -> None:
    def stops(handler: object) -> None:
        mjpeg(pictures=3)(handler)  # type: ignore[arg-type] # a Handler
        camera.stopping.wait()

    with HttpCamera() as camera:
        camera.routes["/video"] = stops
        assert error_of(spec_of(camera, "/video")).code is HealthCode.STALLED


def test_motion_jpeg_as_fast_as_the_network_takes_it_is_invalid_data() -> None:
    with HttpCamera() as camera:
        camera.routes["/video"] = mjpeg(fps=1e6)
        error = error_of(spec_of(camera, "/video"))
    assert error.code is HealthCode.INVALID_DATA
    assert "more than 250 pictures per second" in str(error)


def test_motion_jpeg_of_damaged_pictures_is_invalid_data(metrics: Metrics) -> None:
    part = b"--frame\r\nContent-Length: 9\r\n\r\n\xff\xd8notajpg"
    with HttpCamera() as camera:
        camera.routes["/video"] = drip(
            b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace\r\n\r\n" + 99 * part,
            every_s=0.001,
        )
        with pytest.raises(SourceError, match="no picture could be decoded") as caught:
            list(read(spec_of(camera, "/video"), metrics))
    assert caught.value.code is HealthCode.INVALID_DATA
    assert skipped(metrics, "corrupt") > 1


def test_a_multipart_body_of_something_else_is_invalid_data() -> None:
    body = b"x" * 5000
    with HttpCamera() as camera:
        camera.routes["/video"] = says(
            200, body, Content_Type="multipart/x-mixed-replace; boundary=frame"
        )
        assert error_of(spec_of(camera, "/video")).code is HealthCode.INVALID_DATA


def make_playlist(path: Path, **more: str) -> Path:
    """Write a real HLS video into a folder: six segments of one second at 5 pictures/s."""
    options = {"hls_time": "1", "hls_list_size": "0", **more}
    with av.open(path / "street.m3u8", "w", format="hls", options=options) as container:
        stream = container.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.gop_size = 5
        # With grain: FFmpeg wants more than a few packets to know what a segment is.
        grain = np.random.default_rng(0).integers(-10, 11, (240, 320, 3))
        for index in range(30):
            image = (8 * index + np.roll(grain, index, axis=1)).clip(0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def playlist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_playlist(tmp_path_factory.mktemp("hls"))


def hls_spec(camera: HttpCamera) -> SourceSpec:
    return dataclasses.replace(spec_of(camera, "/street.m3u8"), interval_s=0.5)


def test_a_playlist_that_has_ended_plays_its_key_frames_and_is_over(playlist: Path) -> None:
    login = Login("admin", PASSWORD)
    with HttpCamera(login=login) as camera:
        camera.routes |= folder(playlist)
        numbers: list[int] = []
        video = (round(float(p.image.mean()) / 8) for p in read(logged_in(hls_spec(camera))))
        with pytest.raises(SourceError, match="is over") as caught:
            numbers.extend(video)
        # Segments were fetched with the login, and FFmpeg never heard of it.
        assert all(seen.authorization for seen in camera.seen[1:])
    assert numbers == [0, 5, 10, 15, 20, 25]
    assert caught.value.code is HealthCode.ENDED


def unended(playlist: Path) -> dict[str, Route]:
    """Return the routes of a live playlist, of which no more comes."""
    lines = (playlist / "street.m3u8").read_text().splitlines()
    live = "\n".join(line for line in lines if "ENDLIST" not in line).encode() + b"\n"
    about = says(200, live, Content_Type="application/vnd.apple.mpegurl")
    return {**folder(playlist), "/street.m3u8": about}


def test_a_live_playlist_is_joined_at_its_newest_segment(playlist: Path) -> None:
    with HttpCamera() as camera:
        camera.routes |= unended(playlist)
        source = open_source(hls_spec(camera), metrics=Metrics(), clock=SystemClock())
        picture = next(iter(source.pictures(threading.Event())))
        source.close()
        assert camera.seen[-1].path == "/street5.ts"
    assert round(float(picture.image.mean()) / 8) == 25


def test_a_live_playlist_that_does_not_move_on_is_a_stall(
    playlist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hls, "_MIN_READ_TIMEOUT_S", 1.0)
    with HttpCamera() as camera:
        camera.routes |= unended(playlist)
        error = error_of(hls_spec(camera))
    assert error.code is HealthCode.STALLED
    assert "sent nothing for 1 s" in str(error)


@pytest.mark.parametrize(
    "how",
    [{"hls_flags": "single_file"}, {"hls_segment_type": "fmp4"}],
    ids=["parts of one file", "fragmented MP4"],
)
def test_segments_may_be_packed_in_other_ways(tmp_path: Path, how: dict[str, str]) -> None:
    make_playlist(tmp_path, **how)
    with HttpCamera() as camera:
        camera.routes |= folder(tmp_path)
        pictures = itertools.islice(read(hls_spec(camera)), 3)
        assert [round(float(p.image.mean()) / 8) for p in pictures] == [0, 5, 10]


def test_an_address_may_hold_blanks_and_other_letters() -> None:
    with HttpCamera() as camera:
        camera.routes["/caf%C3%A9%20west"] = camera.snapshot
        assert first_numbers(spec_of(camera, "/café west?size=1%20b&x=a b"), 1) == [1]
        assert camera.seen[0].path == "/caf%C3%A9%20west?size=1%20b&x=a%20b"


def test_a_playlist_cannot_name_a_file_of_this_machine(tmp_path: Path) -> None:
    secret = tmp_path / "secret.ts"
    secret.write_bytes(b"x")
    body = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n".encode()
    with HttpCamera() as camera:
        camera.routes["/street.m3u8"] = says(
            200, body, Content_Type="application/vnd.apple.mpegurl"
        )
        assert error_of(hls_spec(camera)).code is HealthCode.PROTOCOL_ERROR


@pytest.mark.parametrize("segment", ["http://127.0.0.1:99999/1.ts", "http://a b/1.ts"])
def test_a_playlist_that_names_what_cannot_be_asked_fails_as_any_other(segment: str) -> None:
    body = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{segment}\n".encode()
    with HttpCamera() as camera:
        camera.routes["/street.m3u8"] = says(
            200, body, Content_Type="application/vnd.apple.mpegurl"
        )
        assert error_of(hls_spec(camera)).code is HealthCode.PROTOCOL_ERROR


def test_what_an_address_gives_can_be_said_when_its_content_type_lies() -> None:
    with HttpCamera() as camera:
        camera.routes["/picture"] = says(200, jpeg(3), Content_Type="application/octet-stream")
        spec = spec_of(camera, "/picture")
        assert error_of(spec).code is HealthCode.PROTOCOL_ERROR
        assert first_numbers(dataclasses.replace(spec, kind="snapshot"), 1) == [3]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return self_signed(tmp_path_factory.mktemp("tls"))


def test_https_checks_the_certificate_only_when_told_to(
    certificate: Certificate, tmp_path: Path
) -> None:
    with HttpCamera(certificate=certificate) as camera:
        spec = spec_of(camera)
        assert first_numbers(spec, 2) == [1, 2]
        checked = dataclasses.replace(spec, tls_verify=True)
        error = error_of(checked)
        assert error.code is HealthCode.PROTOCOL_ERROR
        assert "its certificate is not trusted" in str(error)
        trusted = dataclasses.replace(checked, tls_ca_file=certificate.chain)
        assert len(first_numbers(trusted, 2)) == 2
        nowhere = dataclasses.replace(checked, tls_ca_file=tmp_path / "none.pem")
        assert "check 'cameras.bridge.tls_ca_file'" in str(error_of(nowhere))


def test_an_old_camera_with_a_short_key_is_read(tmp_path: Path) -> None:
    with HttpCamera(certificate=self_signed(tmp_path, bits=1024)) as camera:
        assert first_numbers(spec_of(camera), 1) == [1]


def test_one_picture_can_be_grabbed_and_a_camera_probed() -> None:
    with HttpCamera() as camera:
        picture = grab_picture(
            spec_of(camera), stop=threading.Event(), metrics=Metrics(), clock=SystemClock()
        )
        assert picture is not None
        assert number_of(picture.image) == 1
        report = probe(spec_of(camera, "/video"), clock=SystemClock(), duration_s=0.7)
    assert report.facts.codec == "mjpeg"
    assert report.size_wh == (64, 48)
