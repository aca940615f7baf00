import base64
import re

import pytest

from lsm_monitor.demo.clip import Clip
from lsm_monitor.demo.rtsp_wire import (
    Login,
    Request,
    Response,
    RtspSyntaxError,
    parse_request,
    sdp,
)

CLIP = Clip(640, 360, 10, b"\x67\x42\xc0\x16\xda", b"\x68\xce\x04\xf2", ())


def test_the_session_description_is_the_golden_one() -> None:
    assert sdp(CLIP).decode().split("\r\n") == [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=Street camera",
        "c=IN IP4 0.0.0.0",
        "t=0 0",
        "a=control:*",
        "m=video 0 RTP/AVP 96",
        "a=rtpmap:96 H264/90000",
        (
            "a=fmtp:96 packetization-mode=1;profile-level-id=42c016;"
            "sprop-parameter-sets=Z0LAFto=,aM4E8g=="
        ),
        "a=framesize:96 640-360",
        "a=framerate:10",
        "a=control:track0",
        "",
    ]


def test_a_request_is_parsed_with_its_headers_in_lower_case() -> None:
    head = b"SETUP rtsp://a/b RTSP/1.0\r\nCSeq: 3\r\nTransport: RTP/AVP/TCP\r\n\r\n"
    assert parse_request(head) == Request(
        "SETUP", "rtsp://a/b", {"cseq": "3", "transport": "RTP/AVP/TCP"}
    )


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"GET / HTTP/1.1\r\nCSeq: 1", id="http"),
        pytest.param(b"\xff\xd8\xff\xe0\r\n\r\n", id="binary"),
        pytest.param(b"OPTIONS * RTSP/1.0\r\nno colon\r\nCSeq: 1", id="header without colon"),
        pytest.param(b"OPTIONS * RTSP/1.0\r\n\r\n", id="no CSeq"),
        pytest.param(b"OPTIONS * RTSP/1.0\r\nCSeq: x\r\n\r\n", id="CSeq is no number"),
        pytest.param(b"OPTIONS " + b"a" * 600 + b" RTSP/1.0\r\nCSeq: 1", id="long url"),
        pytest.param(b"", id="empty"),
    ],
)
def test_what_is_not_rtsp_is_rejected(head: bytes) -> None:
    with pytest.raises(RtspSyntaxError):
        parse_request(head)


def test_a_response_repeats_the_number_of_its_request() -> None:
    assert Response(461).encode("7") == (
        b"RTSP/1.0 461 Unsupported Transport\r\nCSeq: 7\r\n\r\n"
    )
    assert Response(200, {"A": "b"}, b"xyz").encode("8") == (
        b"RTSP/1.0 200 OK\r\nCSeq: 8\r\nA: b\r\nContent-Length: 3\r\n\r\nxyz"
    )


def _request(authorization: str) -> Request:
    return Request("DESCRIBE", "rtsp://a/b", {"cseq": "1", "authorization": authorization})


@pytest.mark.parametrize(("password", "accepted"), [("p:w", True), ("pw", False)])
def test_basic_login_compares_the_password(password: str, *, accepted: bool) -> None:
    proof = base64.b64encode(f"bob:{password}".encode()).decode()
    login = Login("bob", "p:w", "basic")
    assert login.accepts(_request(f"Basic {proof}"), "n") is accepted


def test_digest_login_accepts_the_worked_example() -> None:
    # md5 of "Mufasa:lsm-monitor demo:Circle Of Life", of "DESCRIBE:rtsp://a/b", and of both
    # around the nonce, computed with md5sum.
    login = Login("Mufasa", "Circle Of Life", "digest")
    header = (
        'Digest username="Mufasa", realm="lsm-monitor demo", nonce="abc", uri="rtsp://a/b", '
        'response="8e35f80b14ae6bf3f767e0e0508b8839"'
    )
    assert login.accepts(_request(header), "abc")
    assert not login.accepts(_request(header), "another nonce")


@pytest.mark.parametrize(
    "header", ["", "Digest", "Basic !!", 'Digest response="é"', "Bearer x"]
)
@pytest.mark.parametrize("scheme", ["basic", "digest"])
def test_a_malformed_login_is_refused(header: str, scheme: str) -> None:
    login = Login("bob", "x", "basic" if scheme == "basic" else "digest")
    assert not login.accepts(_request(header), "n")


def test_a_login_never_shows_its_password() -> None:
    assert not re.search("hunter2", repr(Login("bob", "hunter2")))
