from __future__ import annotations

import errno

import av
import pytest
from pydantic import SecretStr

from lsm_monitor.capture.open_failure import open_failure
from lsm_monitor.capture.pyav_open import open_container, open_failure_code
from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.clock import SystemClock
from lsm_monitor.config.models import CameraConfig
from lsm_monitor.errors import SourceOpenError
from lsm_monitor.types import CameraId, HealthCode

PASSWORD = "s3cret/@?"
# Longer than a DNS label may be: no resolver asks anyone about it.
UNKNOWN_HOST = "a" * 64 + ".test"


def spec(url: str, password: str = PASSWORD) -> SourceSpec:
    return SourceSpec(
        camera_id=CameraId("bridge"),
        url=url,
        username="admin",
        password=SecretStr(password),
        transport="tcp",
        decode="keyframes",
        interval_s=1.0,
        open_timeout_s=10.0,
        read_timeout_s=2.0,
    )


CAMERA = spec("rtsp://127.0.0.1/street")
FILE = spec("/var/street.mp4")


def failure(kind: type[av.FFmpegError], number: int = 0) -> av.FFmpegError:
    return kind(number, "a text with rtsp://admin:s3cret@cam in it", "rtsp://admin:s3cret@cam")


@pytest.mark.parametrize(
    ("error", "source", "elapsed_s", "code"),
    [
        (failure(av.error.ConnectionRefusedError), CAMERA, 0.0, HealthCode.CONNECTION_REFUSED),
        (failure(av.error.HTTPUnauthorizedError), CAMERA, 0.1, HealthCode.UNAUTHORIZED),
        (failure(av.error.HTTPForbiddenError), CAMERA, 0.1, HealthCode.UNAUTHORIZED),
        (failure(av.error.HTTPNotFoundError), CAMERA, 0.1, HealthCode.NOT_FOUND),
        (failure(av.error.ExitError), CAMERA, 10.0, HealthCode.OPEN_TIMEOUT),
        (failure(av.error.TimeoutError), CAMERA, 10.0, HealthCode.OPEN_TIMEOUT),
        # A silent peer, and one that never answers PLAY, as FFmpeg reports them.
        (failure(av.error.InvalidDataError), CAMERA, 10.0, HealthCode.OPEN_TIMEOUT),
        (failure(av.error.PermissionError, errno.EPERM), CAMERA, 10.0, HealthCode.OPEN_TIMEOUT),
        (failure(av.error.InvalidDataError), CAMERA, 0.1, HealthCode.PROTOCOL_ERROR),
        (failure(av.error.HTTPServerError), CAMERA, 0.1, HealthCode.PROTOCOL_ERROR),
        (
            failure(av.error.OSError, errno.EHOSTUNREACH),
            CAMERA,
            3.0,
            HealthCode.HOST_UNREACHABLE,
        ),
        (
            failure(av.error.OSError, errno.ENETUNREACH),
            CAMERA,
            0.0,
            HealthCode.HOST_UNREACHABLE,
        ),
        # An input/output error is a DNS failure only when the name is unknown.
        (failure(av.error.OSError, errno.EIO), CAMERA, 0.1, HealthCode.PROTOCOL_ERROR),
        (
            failure(av.error.OSError, errno.EIO),
            spec(f"rtsp://{UNKNOWN_HOST}/street"),
            0.1,
            HealthCode.DNS_FAILED,
        ),
        (failure(av.error.FileNotFoundError), FILE, 0.0, HealthCode.NOT_FOUND),
        (failure(av.error.PermissionError, errno.EACCES), FILE, 0.0, HealthCode.UNAUTHORIZED),
        (failure(av.error.InvalidDataError), FILE, 0.0, HealthCode.INVALID_DATA),
    ],
)
def test_reason_codes(
    error: av.FFmpegError, source: SourceSpec, elapsed_s: float, code: HealthCode
) -> None:
    assert open_failure_code(error, source, elapsed_s=elapsed_s) is code


def test_the_message_says_who_what_why_and_what_to_do() -> None:
    assert open_failure(spec("rtsp://192.0.2.10/stream1"), HealthCode.CONNECTION_REFUSED) == (
        "camera 'bridge': cannot open rtsp://192.0.2.10/stream1 (connection refused); check "
        "that the camera is powered and that 'cameras.bridge.url' is right"
    )


@pytest.mark.parametrize("password", ["é" * 21, "x" * 122])
def test_a_password_that_ffmpeg_would_cut_off_is_refused_with_the_reason(
    password: str,
) -> None:
    with pytest.raises(SourceOpenError, match="too long for RTSP") as caught:
        open_container(spec("rtsp://127.0.0.1:1/street", password), SystemClock())
    assert caught.value.code is HealthCode.UNAUTHORIZED
    assert password not in str(caught.value)


def test_an_unknown_host_is_told_as_one() -> None:
    with pytest.raises(SourceOpenError, match="the host name is unknown") as caught:
        open_container(spec(f"rtsp://{UNKNOWN_HOST}/street"), SystemClock())
    assert caught.value.code is HealthCode.DNS_FAILED


def test_a_password_stays_out_of_the_repr() -> None:
    assert "s3cret" not in repr(CAMERA)


def test_a_device_that_is_not_plugged_in_is_not_found() -> None:
    with pytest.raises(SourceOpenError) as caught:
        open_container(spec("v4l2:/dev/video-none"), SystemClock())
    assert caught.value.code is HealthCode.NOT_FOUND


def test_a_device_that_is_no_camera_is_not_read() -> None:
    with pytest.raises(SourceOpenError) as caught:
        open_container(spec("v4l2:/dev/null"), SystemClock())
    assert caught.value.code is HealthCode.INVALID_DATA


def test_evidence_comes_from_the_main_stream_if_there_is_one() -> None:
    def camera(**more: str) -> CameraConfig:
        return CameraConfig(url="rtsp://192.0.2.1/sub", username="u", **more)  # type: ignore[arg-type] # strings only

    main = "rtsp://192.0.2.1/main"
    with_main = SourceSpec.for_evidence(CAMERA.camera_id, camera(evidence_url=main))
    assert (with_main.url, with_main.username) == (main, "u")
    assert SourceSpec.for_evidence(CAMERA.camera_id, camera()).url == "rtsp://192.0.2.1/sub"
