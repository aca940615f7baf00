from __future__ import annotations

import hashlib

import pytest

from lsm_monitor.capture.http_login import Credentials, DigestChallenge, parse_challenges

# RFC 7616, 3.9.1.
NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
OPAQUE = "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
ASKED = (
    'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={}, '
    f'nonce="{NONCE}", opaque="{OPAQUE}"'
)


def response_to(header: str) -> str:
    challenge, _ = parse_challenges([header])
    assert challenge is not None
    login = Credentials("Mufasa", "Circle of Life").digest(
        challenge, method="GET", target="/dir/index.html", count=1, cnonce=CNONCE
    )
    return login.partition('response="')[2].partition('"')[0]


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_digest_is_that_of_the_standard(algorithm: str, response: str) -> None:
    assert response_to(ASKED.format(algorithm)) == response


def test_an_old_camera_without_qop_gets_the_old_digest() -> None:
    # RFC 2069's own example has a known error; this is its formula, worked out with md5sum.
    challenge = DigestChallenge("testrealm", "n", None, has_qop=False, opaque=None)
    login = Credentials("user", "word").digest(
        challenge, method="GET", target="/", count=1, cnonce="unused"
    )
    assert login == (
        'Digest username="user", realm="testrealm", nonce="n", uri="/", '
        'response="52a361c83e56ae08698da0b7b4704ef8"'
    )


def test_the_better_of_several_challenges_is_answered() -> None:
    both = f'Basic realm="x", {ASKED.format("MD5")}, {ASKED.format("SHA-256")}'
    challenge, has_basic = parse_challenges([both])
    assert challenge is not None
    assert challenge.algorithm == "SHA-256"
    assert has_basic


@pytest.mark.parametrize(
    "header",
    [
        "",
        'Bearer realm="x"',
        "Digest",
        'Digest realm="x", nonce="n", algorithm=SHA-512-256',
        'Digest realm="x", nonce="n", qop="auth-int"',
    ],
)
def test_what_cannot_be_answered_is_not(header: str) -> None:
    assert parse_challenges([header]) == (None, False)


def test_quotes_in_a_realm_stay_quotes() -> None:
    challenge, has_basic = parse_challenges([r'Digest realm="a \"b\", Basic x", nonce="n"'])
    assert challenge is not None
    assert not has_basic
    assert challenge.realm == 'a "b", Basic x'


def test_a_realm_of_other_letters_goes_back_as_the_bytes_it_was() -> None:
    # Python's HTTP gives a header's bytes as Latin-1, and sends it so.
    asked = 'Digest realm="Brücke 西", nonce="n"'.encode().decode("latin-1")
    challenge, _ = parse_challenges([asked])
    assert challenge is not None
    login = Credentials("user", "word").digest(
        challenge, method="GET", target="/", count=1, cnonce="unused"
    )
    secret = hashlib.md5("user:Brücke 西:word".encode(), usedforsecurity=False).hexdigest()
    request = hashlib.md5(b"GET:/", usedforsecurity=False).hexdigest()
    response = hashlib.md5(f"{secret}:n:{request}".encode(), usedforsecurity=False).hexdigest()
    assert 'realm="Brücke 西"' in login.encode("latin-1").decode()
    assert f'response="{response}"' in login


def test_the_password_is_not_in_the_repr() -> None:
    assert "secret" not in repr(Credentials("admin", "secret"))
