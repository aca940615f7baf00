from __future__ import annotations

import pytest

from lsm_monitor.commands.probe import probe_url
from lsm_monitor.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("rtsp://user:hunter2@127.0.0.1/x", "--password-file"),
        ("rtsp://user:hun/ter2@127.0.0.1/x", "--password-file"),
        ("ftp://127.0.0.1/x?password=hunter2", "scheme 'ftp' is not supported"),
        ("rtsp://[::1", "is not a valid address"),
        ("http://192.0.2.1 /1.jpg", "names no host or port"),
    ],
)
def test_a_bad_address_is_explained_without_its_password(url: str, expected: str) -> None:
    with pytest.raises(ConfigError) as error:
        probe_url(url, username=None, password=None, transport="tcp")
    assert expected in str(error.value)
    assert "ter2" not in str(error.value)
