"""Requests that do not mean us, come from elsewhere, or want too much."""

from __future__ import annotations

import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.datastructures import Headers

from lsm_monitor.web import guard
from lsm_monitor.web.origins import is_local, is_our_host, is_same_origin, known_names
from tests.web_daemon import WebDaemon

NAMES = known_names(["flood.city.example"])
LABEL = st.text(string.ascii_lowercase + string.digits + "-", min_size=1, max_size=20)
PORTS = st.one_of(st.just(""), st.integers(0, 65535).map(lambda port: f":{port}"))


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("localhost:9109", True),
        ("127.0.0.1", True),
        ("[::1]:9109", True),
        ("192.0.2.7:9109", True),
        ("FLOOD.city.example.", True),
        ("evil.example", False),
        ("flood.city.example.evil.example", False),
        ("localhost@evil.example", False),
        ("localhost:9109:1", False),
        ("", False),
        (None, False),
    ],
)
def test_a_name_must_be_known_and_an_address_may_be_any(host: str | None, ours: bool) -> None:  # noqa: FBT001 - from the table
    assert is_our_host(host, NAMES) is ours


@given(st.lists(LABEL, min_size=2, max_size=4).map(".".join), PORTS)
def test_no_name_of_somebody_else_is_ours(name: str, port: str) -> None:
    is_address = name.replace(".", "").isdigit()
    assert is_our_host(name + port, NAMES) is (name in NAMES) or is_address


@given(st.text(max_size=40))
def test_whatever_host_says_it_is_decided(host: str) -> None:
    assert is_our_host(host, NAMES) in {True, False}


@pytest.mark.parametrize(
    ("origin", "site", "same"),
    [
        (None, None, True),  # no browser
        (None, "same-origin", True),
        (None, "cross-site", False),
        (None, "same-site", False),  # another port of this machine
        ("http://127.0.0.1:9109", None, True),
        ("https://127.0.0.1:9109", None, False),
        ("http://127.0.0.1:9110", None, False),
        ("http://127.0.0.1:9109.evil.example", None, False),
        ("null", None, False),
        ("http://[", None, False),
    ],
)
def test_a_change_must_come_from_our_own_page(
    origin: str | None,
    site: str | None,
    same: bool,  # noqa: FBT001 - from the table
) -> None:
    given = {"host": "127.0.0.1:9109", "origin": origin, "sec-fetch-site": site}
    headers = Headers({name: value for name, value in given.items() if value is not None})
    assert is_same_origin(headers, "http") is same


def test_the_default_port_may_be_left_out() -> None:
    headers = Headers(
        {"host": "flood.city.example:443", "origin": "https://flood.city.example"}
    )
    assert is_same_origin(headers, "https")


@given(LABEL.map(lambda name: f"http://{name}.example"), PORTS)
def test_no_other_origin_is_ours(origin: str, port: str) -> None:
    headers = Headers({"host": "flood.city.example", "origin": origin + port})
    assert not is_same_origin(headers, "http")


@pytest.mark.parametrize(
    ("client", "headers", "local"),
    [
        (("127.0.0.1", 1), [], True),
        (("::1", 1), [], True),
        (("::ffff:127.0.0.1", 1), [], True),
        (("::ffff:192.0.2.1", 1), [], False),
        (("192.0.2.1", 1), [], False),
        (("127.0.0.1", 1), [(b"x-forwarded-for", b"127.0.0.1")], False),
        (None, [], False),
    ],
)
def test_local_is_who_asks_on_this_machine_without_a_proxy(
    client: tuple[str, int] | None,
    headers: list[tuple[bytes, bytes]],
    local: bool,  # noqa: FBT001 - from the table
) -> None:
    assert is_local({"type": "http", "client": client, "headers": headers}) is local


def test_a_rebound_name_reaches_nothing_but_the_health_checks(page: WebDaemon) -> None:
    evil = {"Host": "evil.example"}
    for path in ("/", "/api/cameras", "/api/session", "/metrics", "/openapi.json"):
        answer = page.get(path, evil)
        assert (answer.status, "http.allowed_hosts" in answer.json["detail"]) == (421, True)
    assert page.get("/healthz", evil).status == 200


def test_another_sites_page_may_neither_read_nor_change(page: WebDaemon) -> None:
    csrf = {"X-CSRF-Token": page.get("/api/session").json["csrf"]}
    cross = {"Sec-Fetch-Site": "cross-site"}
    assert page.get("/api/cameras", cross).status == 403
    assert page.get("/", cross).status == 200  # a link from elsewhere may lead here
    evil = {**csrf, "Origin": "http://evil.example"}
    assert page.ask("POST", "/api/logout", body={}, headers=evil).status == 403
    assert page.ask("POST", "/api/logout", body={}, headers=csrf).status == 200


def test_a_form_of_ten_megabytes_is_refused_clearly(page: WebDaemon) -> None:
    answer = page.ask("POST", "/api/login", body=b"x" * 10_000_000)
    assert answer.status == 413
    assert "65536 bytes" in answer.json["detail"]


def test_a_large_body_in_chunks_is_refused_as_well(page: WebDaemon) -> None:
    connection = page.connection()
    chunks = iter([b"x" * 40_000, b"x" * 40_000])
    headers = {"Content-Type": "application/json"}
    connection.request("POST", "/api/login", chunks, headers, encode_chunked=True)
    response = connection.getresponse()
    assert (response.status, b"65536 bytes" in response.read()) == (413, True)
    connection.close()


def test_a_body_that_never_comes_keeps_nobody_waiting(
    page: WebDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "BODY_WITHIN_S", 0.1)
    connection = page.connection()
    connection.putrequest("POST", "/api/login")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", "50")
    connection.endheaders(b'{"user": ')
    response = connection.getresponse()
    assert (response.status, b"in time" in response.read()) == (408, True)
    connection.close()


def test_every_answer_tells_browsers_what_they_may_not_do(page: WebDaemon) -> None:
    for path in ("/", "/static/nothing.js", "/api/cameras", "/api/nothing", "/healthz"):
        headers = page.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        policy = headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(string.ascii_letters + "./%\\-_ :~;?#&25cefEF", min_size=1, max_size=60))
def test_no_address_leads_out_of_the_pages_files(page: WebDaemon, path: str) -> None:
    answer = page.get("/static/" + path.replace(" ", "%20"))
    assert answer.status in {200, 400, 404}
    if answer.status == 200:
        assert path.split("?", maxsplit=1)[0].split("#", maxsplit=1)[0] == "index.html"


@pytest.mark.parametrize(
    "path",
    [
        "/static/../users.py",
        "/static/%2e%2e/users.py",
        "/static/..%2fusers.py",
        "/static//etc/passwd",
        "/api/evidence/019816a2-7c1e-7b60-9f0e-2b1f6a1d9c55/..%2f..%2fetc%2fpasswd",
        "/api/evidence/../../etc/passwd",
        "/api/evidence/019816a2-7c1e-7b60-9f0e-2b1f6a1d9c55/.hidden",
    ],
)
def test_somebody_elses_file_is_not_found(page: WebDaemon, path: str) -> None:
    answer = page.get(path)
    assert answer.status in {404, 422}
    assert answer.headers["content-type"] == "application/problem+json"
