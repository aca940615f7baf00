from __future__ import annotations

from pathlib import Path

import pytest

from lsm_monitor.config.gauges import PRESETS_CM, GroundConfig
from lsm_monitor.config.loader import load
from lsm_monitor.errors import ConfigError

HEAD = """\
version: 1
site: west
mqtt: {host: localhost}
cameras:
  bridge:
    url: rtsp://192.0.2.1/1
    zones:
      lane: {points: [[0.1, 0.9], [0.9, 0.9], [0.5, 0.3]]}
      path: {points: [[0.0, 0.9], [0.1, 0.9], [0.1, 0.3]]}
"""
ROAD = "points: [[0.1, 0.9], [0.9, 0.9], [0.6, 0.4], [0.4, 0.4]]"


def problems(tmp_path: Path, text: str) -> str:
    path = tmp_path / "monitor.yaml"
    path.write_text(HEAD + text)
    with pytest.raises(ConfigError) as error:
        load(path, {})
    return str(error.value)


def test_gauges_ground_and_places_are_read_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "monitor.yaml"
    path.write_text(
        HEAD
        + f"""\
    gauges:
      kerb-a:
        zone: lane
        marks:
          - {{line: [[0.1, 0.8], [0.4, 0.5]], preset: kerb}}
          - {{points: [[0.5, 0.5]], depth_cm: 25}}
      pole: {{zone: path, staff: {{bottom: [0.5, 0.7], top: [0.5, 0.4], top_cm: 120}}}}
    ground: {{{ROAD}, sides_m: [3.5, 20, 3.5, 20], diagonal_m: 20.304}}
    trend: {{short_s: 2m, long_s: 10m}}
  harbour: {{url: rtsp://192.0.2.2/1}}
places:
  underpass: {{cameras: [bridge, harbour]}}
"""
    )
    config = load(path, {}).config
    bridge = config.cameras["bridge"]
    marks = bridge.gauges["kerb-a"].marks or ()
    assert [mark.height_cm for mark in marks] == [15.0, 25.0]
    assert bridge.zone_of("pole", bridge.gauges["pole"]) == "path"
    assert (bridge.trend.short_s, bridge.trend.long_s) == (120.0, 600.0)
    assert config.places["underpass"].min_cameras == 2


def test_the_presets_are_the_heights_that_operators_know() -> None:
    assert PRESETS_CM == {"lane_mark": 0.0, "kerb": 15.0, "bollard": 60.0}


def test_sides_and_diagonal_make_the_same_ground_as_positions() -> None:
    points = ((0.1, 0.9), (0.9, 0.9), (0.6, 0.4), (0.4, 0.4))
    by_positions = GroundConfig(points=points, metres=((0, 0), (3, 0), (3, 4), (0, 4)))
    by_distances = GroundConfig(points=points, sides_m=(3, 4, 3, 4), diagonal_m=5)
    areas = [each.ground().pixel_areas_m2((90, 160)) for each in (by_positions, by_distances)]
    assert areas[0] == pytest.approx(areas[1], rel=1e-4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "    gauges: {g: {marks: [{points: [[0.5, 0.5]], preset: kerb}]}}\n",
            "gauge 'g' names no zone; write zone: one of lane, path",
            id="which-zone",
        ),
        pytest.param(
            "    gauges: {g: {zone: lan, marks: [{points: [[0.5, 0.5]], preset: kerb}]}}\n",
            "gauge 'g' names the zone 'lan'; write zone: one of lane, path",
            id="no-such-zone",
        ),
        pytest.param(
            "    gauges: {g: {zone: lane, marks: [{points: [[500, 3]], depth_cm: 4}]}}\n",
            "monitor.yaml:10: cameras.bridge.gauges.g.marks.0.points.0: point [500, 3] lies "
            "outside the picture",
            id="pixels",
        ),
        pytest.param(
            "    gauges: {g: {zone: lane, marks: [{points: [[0.5, 0.5]]}]}}\n",
            "write either 'depth_cm' or 'preset' (lane_mark, kerb, bollard)",
            id="no-height",
        ),
        pytest.param(
            "    gauges: {g: {zone: lane, marks: [{preset: kerb}]}}\n",
            "write either 'points' or 'line'",
            id="no-place",
        ),
        pytest.param(
            "    gauges: {g: {zone: lane}}\n",
            "write either 'marks' (a list of points or lines) or 'staff'",
            id="nothing",
        ),
        pytest.param(
            "    gauges: {g: {zone: lane, staff: {bottom: [0.5, 0.9], top: [0.5, 0.1], "
            "bottom_cm: 50, top_cm: 0}}}\n",
            "'top_cm' (0) must be above 'bottom_cm' (50)",
            id="staff-upside-down",
        ),
        pytest.param(
            f"    ground: {{{ROAD}}}\n",
            "write either 'metres' or both 'sides_m' and 'diagonal_m'",
            id="ground-without-distances",
        ),
        pytest.param(
            f"    ground: {{{ROAD}, sides_m: [3, 4, 3, 4]}}\n",
            "write either 'metres' or both 'sides_m' and 'diagonal_m'",
            id="ground-without-a-diagonal",
        ),
        pytest.param(
            f"    ground: {{{ROAD}, sides_m: [3, 4, 3, 4], diagonal_m: 8}}\n",
            "sides of 3 m and 4 m do not meet over a diagonal of 8 m; measure again",
            id="impossible-distances",
        ),
        pytest.param(
            f"    ground: {{{ROAD}, metres: [[0, 0], [1, 0], [2, 0], [0, 4]]}}\n",
            "three of the four points lie in line on the ground; move one aside",
            id="ground-in-line",
        ),
        pytest.param(
            "    ground: {points: [[0.1, 0.1], [0.3, 0.3], [0.6, 0.6], [0.4, 0.9]], "
            "metres: [[0, 0], [3, 0], [3, 9], [0, 9]]}\n",
            "three of the four points lie in line in the picture; move one aside",
            id="picture-in-line",
        ),
        pytest.param(
            f"    ground: {{{ROAD}, metres: [[0, 0], [3, 9], [3, 0], [0, 9]]}}\n",
            "no camera sees four points so; are the positions in the same order",
            id="crossed",
        ),
        pytest.param(
            f"    ground: {{{ROAD}, metres: [[0, 0], [.nan, 0], [3, 9], [0, 9]]}}\n",
            "cameras.bridge.ground.metres.1.0: Input should be less than or equal to",
            id="not-a-number",
        ),
        pytest.param(
            "    trend: {short_s: 5m, long_s: 1h}\n",
            "'long_s' (3600) must be longer than 'short_s' (300), at most 6 times; "
            "try long_s: 900",
            id="windows",
        ),
        pytest.param(
            "places: {p: {cameras: [bridge, habour]}}\n",
            "place 'p': there is no camera 'habour' in this file",
            id="place-of-strangers",
        ),
        pytest.param(
            "places: {p: {cameras: [bridge, bridge]}}\n",
            "'min_cameras' is 2, but it names 1 different cameras in 2 entries",
            id="place-of-one",
        ),
    ],
)
def test_a_mistake_is_found_when_the_file_is_checked(
    tmp_path: Path, text: str, expected: str
) -> None:
    assert expected in problems(tmp_path, text)
