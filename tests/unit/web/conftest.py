"""The page without users, served once for a whole file of tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web_daemon import WebDaemon


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDaemon]:
    with WebDaemon(tmp_path_factory.mktemp("state")) as daemon:
        yield daemon


@pytest.fixture
def users_file(tmp_path: Path) -> Path:
    """Users ann (viewer), olga (operator) and root (admin), as the file has them."""
    from lsm_monitor.commands.users import put_user  # noqa: PLC0415 - argon2 when needed

    path = tmp_path / "users.yaml"
    for name, role in (("ann", "viewer"), ("olga", "operator"), ("root", "admin")):
        put_user(path, name, role, lambda name=name: f"password of {name}")  # type: ignore[misc]  # mypy sees no default of a lambda
    return path
