from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from lsm_monitor.capture.redact import Redactor, redact_url


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rtsp://admin:secret@192.0.2.10:554/a/b", "rtsp://192.0.2.10:554/a/b"),
        ("rtsp://admin@cam.example/live", "rtsp://cam.example/live"),
        ("rtsp://cam/live?user=a&password=b#c", "rtsp://cam/live"),
        (
            "[Errno 5] 'rtsp://u:p@cam/x': input/output",
            "[Errno 5] 'rtsp://cam/x': input/output",
        ),
        ("a rtsp://u:p@one/1 and rtsps://u:p@two/2", "a rtsp://one/1 and rtsps://two/2"),
        ("rtsp://u:pa/ss?w#o@rd@[2001:db8::1]:554/x", "rtsp://[2001:db8::1]:554/x"),
        ("rtsp://u:p@[broken/x", "rtsp://***"),
        ("rtsp://u:p@host:99999999/x", "rtsp://***"),
        ("rtsp://cam/user=admin_password=tl_channel=1", "rtsp://cam/user=admin_password=***"),
        ("camera 'bridge': 12:30 a@b.example", "camera 'bridge': 12:30 a@b.example"),
    ],
)
def test_redact_url(text: str, expected: str) -> None:
    assert redact_url(text) == expected


# Passwords that could stand in the rest of the message by chance prove nothing.
passwords = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30).map(
    lambda text: f"Zq{text}qZ"
)


@given(password=passwords)
def test_a_percent_encoded_password_never_survives_in_an_address(password: str) -> None:
    cleaned = redact_url(f"cannot open rtsp://admin:{quote(password, safe='')}@cam/live now")
    assert cleaned == "cannot open rtsp://cam/live now"


@given(password=passwords)
def test_a_raw_password_without_blanks_never_survives_in_an_address(password: str) -> None:
    assume(not any(character.isspace() for character in password))
    assert redact_url(f"rtsp://admin:{password}@cam/live") == "rtsp://cam/live"


@given(password=passwords)
@example(password="Zq \\ '\" %41 + é 水 \n qZ")
def test_a_registered_secret_survives_in_no_spelling(password: str) -> None:
    redactor = Redactor(["other", password])
    lower_hex = "".join(f"%{octet:02x}" for octet in password.encode())
    for spelling in (
        password,
        quote(password),
        quote(password, safe=""),
        quote_plus(password),
        lower_hex,
        lower_hex.upper(),
        repr(password)[1:-1],
        json.dumps(password)[1:-1],
    ):
        cleaned = redactor.redact(f"open rtsp://u:{spelling}@cam/x, or <{spelling}> failed")
        assert spelling not in cleaned
        assert "qZ" not in cleaned
        assert "Zq" not in cleaned


def test_a_secret_that_contains_another_goes_as_a_whole() -> None:
    assert Redactor(["ab", "abcd"]).redact("<abcd> <ab>") == "<***> <***>"


def test_without_secrets_addresses_are_still_cleaned() -> None:
    assert Redactor([""]).redact("rtsp://u:p@cam/x") == "rtsp://cam/x"


@pytest.mark.parametrize("text", ["rtsp://HUNTER2/x", "rtsp://hun@ter2", "a://u@hunt://v@er2"])
def test_cleaning_an_address_cannot_make_a_secret_of_what_was_none(text: str) -> None:
    assert "hunter2" not in Redactor(["hunter2"]).redact(text)
