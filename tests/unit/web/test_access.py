"""Who may do what, over a real port: logging in, roles, sessions, tokens."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from lsm_monitor.commands.users import put_user, remove_user
from lsm_monitor.web import access as access_module
from lsm_monitor.web import api_stream
from lsm_monitor.web.sessions import Sessions
from tests.certificates import self_signed
from tests.fakes import FakeClock
from tests.web_daemon import Answer, WebDaemon

EPISODE = UUID("019816a2-7c1e-7b60-9f0e-2b1f6a1d9c55")
ACKNOWLEDGE = f"/api/episodes/{EPISODE}/acknowledge"


@pytest.fixture
def guarded(tmp_path: Path, users_file: Path) -> Iterator[WebDaemon]:
    with WebDaemon(tmp_path, http={"users_file": str(users_file)}) as daemon:
        yield daemon


def log_in(daemon: WebDaemon, name: str, password: str | None = None) -> Answer:
    body = {"user": name, "password": password or f"password of {name}"}
    return daemon.ask("POST", "/api/login", body=body)


def cookie_of(answer: Answer) -> dict[str, str]:
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}


def test_without_a_session_only_the_way_in_is_open(guarded: WebDaemon) -> None:
    closed = ("/api/cameras", "/api/stream", "/api/episodes", "/api/cameras/bridge/picture.jpg")
    assert [guarded.get(path).status for path in closed] == [401] * 4
    assert [guarded.get(path).status for path in ("/", "/healthz", "/api/session")] == [200] * 3
    session = guarded.get("/api/session").json
    assert (session["auth_required"], session["role"], session["csrf"]) == (True, None, None)


def test_who_has_logged_in_sees_the_cameras_until_they_log_out(guarded: WebDaemon) -> None:
    answer = log_in(guarded, "ann")
    assert answer.json == {"user": "ann", "role": "viewer", "csrf": answer.json["csrf"]}
    cookie = cookie_of(answer)
    assert guarded.get("/api/cameras", cookie).status == 200
    session = guarded.get("/api/session", cookie).json
    assert (session["user"], session["role"]) == ("ann", "viewer")
    token = {"X-CSRF-Token": session["csrf"]}
    assert guarded.ask("POST", "/api/logout", headers={**cookie, **token}).status == 200
    assert guarded.get("/api/cameras", cookie).status == 401


def test_the_cookie_is_for_the_browser_and_for_our_site_only(guarded: WebDaemon) -> None:
    attributes = log_in(guarded, "ann").headers["set-cookie"].lower().split("; ")[1:]
    assert set(attributes) == {"httponly", "path=/", "samesite=strict"}


def test_every_login_has_an_id_of_its_own_and_ends_the_one_before(guarded: WebDaemon) -> None:
    first = cookie_of(log_in(guarded, "ann"))
    body = {"user": "olga", "password": "password of olga"}
    second = cookie_of(guarded.ask("POST", "/api/login", body=body, headers=first))
    assert first != second
    assert guarded.get("/api/cameras", first).status == 401
    assert guarded.get("/api/session", second).json["user"] == "olga"


@pytest.mark.parametrize(
    ("name", "password"),
    [("ann", "wrong"), ("nobody", "password of ann"), ("ANN", "password of ann"), ("a b", "x")],
)
def test_a_wrong_name_and_a_wrong_password_look_alike(
    guarded: WebDaemon, name: str, password: str
) -> None:
    answer = log_in(guarded, name, password)
    assert answer.status == 401
    assert answer.json["detail"] == "name or password is wrong"
    assert "set-cookie" not in answer.headers


def test_too_many_attempts_have_to_wait_even_with_the_right_password(
    guarded: WebDaemon,
) -> None:
    answers = [log_in(guarded, "ann", "wrong").status for _ in range(10)]
    limited = log_in(guarded, "ann")
    assert answers == [401] * 10
    assert (limited.status, limited.headers["retry-after"]) == (429, "6")
    counted = guarded.metrics.snapshot()
    assert counted['lsm_http_logins_total{outcome="limited"}'] == 1


def test_a_viewer_may_not_acknowledge(guarded: WebDaemon) -> None:
    answer = log_in(guarded, "ann")
    headers = {**cookie_of(answer), "X-CSRF-Token": answer.json["csrf"]}
    refused = guarded.ask("POST", ACKNOWLEDGE, body={}, headers=headers)
    assert (refused.status, refused.json["detail"]) == (
        403,
        "this needs the role operator; you are viewer",
    )


def test_a_change_needs_the_token_of_its_own_session(guarded: WebDaemon) -> None:
    olga, other = log_in(guarded, "olga"), log_in(guarded, "olga")
    told = [
        guarded.ask("POST", ACKNOWLEDGE, body={}, headers={**cookie_of(olga), **token}).status
        for token in (
            {},
            {"X-CSRF-Token": "ü"},
            {"X-CSRF-Token": other.json["csrf"]},
            {"X-CSRF-Token": olga.json["csrf"]},
        )
    ]
    assert told == [403, 403, 403, 404]  # the last may; there is no such episode


def test_a_session_ends_with_its_user_and_with_their_password(
    guarded: WebDaemon, users_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_module, "_REFRESH_EVERY_S", 0.0)
    ann, olga, root = (cookie_of(log_in(guarded, name)) for name in ("ann", "olga", "root"))
    remove_user(users_file, "ann")
    put_user(users_file, "olga", None, lambda: "another password")
    who = [guarded.get("/api/session", cookie).json["user"] for cookie in (ann, olga, root)]
    assert who == [None, None, "root"]


def test_a_stream_ends_with_its_session(
    tmp_path: Path, users_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_stream, "HEARTBEAT_S", 0.05)
    http = {"users_file": str(users_file), "session_max_s": 1.0}
    with WebDaemon(tmp_path, http=http) as daemon:
        connection = daemon.connection()
        connection.request("GET", "/api/stream", headers=cookie_of(log_in(daemon, "ann")))
        told = connection.getresponse().read()  # to its end
        connection.close()
    assert told.startswith(b"event: hello\n")
    assert b": still here\n\n" in told


def test_a_page_that_is_open_uses_its_session(
    guarded: WebDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_stream, "HEARTBEAT_S", 0.05)
    clock = FakeClock()
    guarded.page.access.sessions = Sessions(idle_s=100.0, max_s=1000.0, clock=clock)
    cookie = cookie_of(log_in(guarded, "ann"))
    with contextlib.closing(guarded.connection()) as connection:
        connection.request("GET", "/api/stream", headers=cookie)
        response = connection.getresponse()
        heartbeats = (line for line in response if line.startswith(b": "))
        for _ in range(3):
            clock.now_s += 60.0
            # The first may have been on its way before the clock moved.
            assert [next(heartbeats), next(heartbeats)] == [b": still here\n"] * 2
        response.close()
    clock.now_s += 60.0
    assert guarded.get("/api/cameras", cookie).status == 200


def test_a_users_file_that_becomes_unreadable_changes_nothing(
    guarded: WebDaemon, users_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_module, "_REFRESH_EVERY_S", 0.0)
    users_file.write_text("users: [")
    assert log_in(guarded, "ann").status == 200


def test_numbers_are_for_this_machine_and_for_who_knows_the_token(
    tmp_path: Path, users_file: Path
) -> None:
    http = {
        "users_file": str(users_file),
        "metrics_token": "0123456789abcdef",
        "trusted_proxies": ["127.0.0.1"],
    }
    far = {"X-Forwarded-For": "192.0.2.7"}
    with WebDaemon(tmp_path, http=http) as daemon:
        for path in ("/metrics", "/api/stats"):
            assert daemon.get(path).status == 200
            refused = daemon.get(path, far)
            assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
            token = {"Authorization": "Bearer 0123456789abcdef"}
            assert daemon.get(path, {**far, **token}).status == 200
            assert daemon.get(path, {**far, "Authorization": "Bearer ü"}).status == 401
            cookie = cookie_of(log_in(daemon, "ann"))
            assert daemon.get(path, {**far, **cookie}).status == 200


def test_without_users_what_a_proxy_passes_on_is_nobodys(page: WebDaemon) -> None:
    assert page.get("/api/session").json["role"] == "admin"
    for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
        answer = page.get("/api/cameras", {name: "127.0.0.1"})
        assert answer.status == 401
        assert "http.users_file" in answer.json["detail"]


def test_behind_a_proxy_with_tls_the_origin_is_https_and_the_cookie_secure(
    tmp_path: Path, users_file: Path
) -> None:
    http = {
        "users_file": str(users_file),
        "trusted_proxies": ["127.0.0.0/8"],
        "allowed_hosts": ["flood.city.example"],
    }
    body = {"user": "ann", "password": "password of ann"}
    seen = {"Host": "flood.city.example", "Origin": "https://flood.city.example"}
    with WebDaemon(tmp_path, http=http) as daemon:
        proto = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}
        answer = daemon.ask("POST", "/api/login", body=body, headers={**seen, **proto})
        assert answer.status == 200
        assert "secure" in answer.headers["set-cookie"].lower().split("; ")
        plain = daemon.ask("POST", "/api/login", body=body, headers=seen)
        assert (plain.status, "http.trusted_proxies" in plain.json["detail"]) == (403, True)


def test_over_tls_the_cookie_is_secure(tmp_path: Path, users_file: Path) -> None:
    made = self_signed(tmp_path)
    http = {
        "users_file": str(users_file),
        "tls_cert_file": str(made.chain),
        "tls_key_file": str(made.key),
    }
    with WebDaemon(tmp_path, http=http) as daemon:
        daemon.tls = ssl.create_default_context(cafile=str(made.chain))
        body = {"user": "ann", "password": "password of ann"}
        origin = {"Origin": f"https://127.0.0.1:{daemon.port}"}
        answer = daemon.ask("POST", "/api/login", body=body, headers=origin)
        assert answer.status == 200
        assert "secure" in answer.headers["set-cookie"].lower().split("; ")
        assert daemon.get("/api/cameras", cookie_of(answer)).status == 200
