from __future__ import annotations

from typing import Any

import pytest

from lsm_monitor.config.models import CameraConfig
from lsm_monitor.runtime.cameras import aim_of

STREET = {"points": [[0.1, 0.5], [0.9, 0.5], [0.5, 0.9]]}
PATH = {"points": [[0.0, 0.0], [0.2, 0.0], [0.1, 0.2]]}
BEFORE: dict[str, Any] = {  # of a file
    "url": "rtsp://192.0.2.1/1",
    "zones": {"street": STREET, "path": PATH},
}


def aim(**changes: object) -> str:
    return aim_of(CameraConfig.model_validate(BEFORE | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "rtsp://192.0.2.2/1"},
        {"zones": {"street": STREET}},
        {"zones": {"street": PATH, "path": {"points": [[0.0, 0.0], [0.2, 0.0], [0.1, 0.3]]}}},
    ],
    ids=["address", "a zone less", "a corner"],
)
def test_another_address_or_other_zones_are_another_view(changes: dict[str, object]) -> None:
    assert aim(**changes) != aim()


@pytest.mark.parametrize(
    "changes",
    [
        {"username": "admin", "password": "another"},
        {"interval_s": 5, "read_timeout_s": 3},
        {"zones": {"way": PATH, "street": STREET | {"water_share_of": "road"}}},
    ],
    ids=["login", "times", "names, order and reading of zones"],
)
def test_what_does_not_touch_the_picture_leaves_what_was_learnt(
    changes: dict[str, object],
) -> None:
    assert aim(**changes) == aim()
