"""The page's files as a browser gets them."""

from __future__ import annotations

import gzip
import re

from lsm_monitor.web.assets import Assets
from tests.web_daemon import WebDaemon


def test_the_version_of_the_files_changes_with_any_of_them() -> None:
    one = Assets({"index.html": b"a", "app.js": b"b"})
    other = Assets({"index.html": b"a", "app.js": b"c"})
    assert one.version != other.version
    assert re.fullmatch("[0-9a-f]{12}", one.version)


def test_a_file_that_a_browser_has_is_not_sent_again(page: WebDaemon) -> None:
    first = page.get("/")
    assert first.headers["cache-control"] == "no-cache"
    again = page.get("/", {"If-None-Match": first.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    other = page.get("/", {"If-None-Match": '"another"'})
    assert (other.status, other.body) == (200, first.body)


def test_a_file_asked_for_by_its_version_is_kept_for_a_year(page: WebDaemon) -> None:
    version = Assets.shipped().version
    named = page.get(f"/static/{version}/main.js").headers["cache-control"]
    assert named == "public, max-age=31536000, immutable"
    assert page.get("/static/main.js").headers["cache-control"] == "no-cache"
    old = page.get("/static/0123456789ab/main.js")
    assert (old.status, old.headers["cache-control"]) == (200, "no-cache")


def test_a_file_is_packed_where_that_helps_and_a_strange_one_left_out() -> None:
    files = {"index.html": b"<p>water</p>" * 100, "notes.exe": b"x"}
    assets = Assets(files)
    asset = assets._assets["index.html"]
    assert asset.packed is not None
    assert gzip.decompress(asset.packed) == files["index.html"]
    assert "notes.exe" not in assets._assets


def test_the_page_may_be_asked_for_its_head_only(page: WebDaemon) -> None:
    answer = page.ask("HEAD", "/")
    assert (answer.status, answer.body) == (200, b"")
