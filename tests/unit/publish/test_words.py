from __future__ import annotations

import pytest

from lsm_monitor.publish.words import Depth, Water, details_of

NOTHING = Water(fraction=None, area_m2=None, depth_cm=None, trend=None, rate_pp_per_min=None)


@pytest.mark.parametrize(
    ("known", "words"),
    [
        pytest.param(NOTHING, "", id="nothing"),
        pytest.param(NOTHING | {"depth_cm": Depth(min=15, max=25.5)}, "15-25.5 cm", id="depth"),
        pytest.param(NOTHING | {"depth_cm": Depth(min=60, max=None)}, "over 60 cm", id="deep"),
        pytest.param(NOTHING | {"depth_cm": Depth(min=0, max=0)}, "0 cm", id="dry"),
        pytest.param(
            NOTHING | {"trend": "falling", "rate_pp_per_min": -2.468, "area_m2": 12.6},
            "13 m2, falling 2.47 pp/min",
            id="the-word-says-the-sign",
        ),
        pytest.param(
            NOTHING | {"trend": "steady", "rate_pp_per_min": 0.1}, "steady", id="calm"
        ),
    ],
)
def test_only_what_is_known_is_said(known: Water, words: str) -> None:
    assert details_of(known) == words
