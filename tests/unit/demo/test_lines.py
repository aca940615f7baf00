import json
from pathlib import Path

import pytest

from lsm_monitor.demo.lines import line_of

GOLDEN = Path(__file__).parents[2] / "golden"
CAMERA = "lsm/v1/hz-west/camera/wensan-underpass"


@pytest.mark.parametrize(
    ("topic", "golden", "line"),
    [
        (
            f"{CAMERA}/event",
            "event_update.json",
            (
                "06:03:20  wensan-underpass/lane-1  UPDATE  ponding -> flooded    31.0 %  "
                "seq 2  15-25 cm, 86 m2, rising 0.41 pp/min"
            ),
        ),
        (
            f"{CAMERA}/zone/lane-1/state",
            "state_flooded.json",
            (
                "06:03:21  wensan-underpass/lane-1  state   flooded               31.0 %  "
                "15-25 cm, 86 m2, rising 0.41 pp/min"
            ),
        ),
        (
            f"{CAMERA}/health",
            "health_offline.json",
            (
                "05:55:02  wensan-underpass  health  offline (OPEN_TIMEOUT): "
                "no answer within 10 s"
            ),
        ),
    ],
)
def test_a_message_of_the_contract_is_one_readable_line(
    topic: str, golden: str, line: str
) -> None:
    assert line_of(topic, (GOLDEN / golden).read_bytes()) == line


def test_an_unchanged_level_is_named_once_and_an_unknown_fraction_is_a_dash() -> None:
    event = json.loads((GOLDEN / "event_update.json").read_bytes())
    event |= {"event_type": "stale", "level": "unknown", "previous_level": "unknown"}
    event["water"] = dict.fromkeys(event["water"])
    line = line_of(f"{CAMERA}/event", json.dumps(event).encode())
    assert line is not None
    assert line.split()[2:] == ["STALE", "unknown", "-", "seq", "2"]


def test_the_birth_of_the_daemon_is_told() -> None:
    assert line_of("lsm/v1/hz-west/status", b"online") == "--------  daemon online"


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        (f"{CAMERA}/state", b"{}"),
        (f"{CAMERA}/availability", b"online"),
        (f"{CAMERA}/zone/lane-1/alert", b"ON"),
        ("lsm/v1/hz-west/event/active/019816a2", b"{}"),
        ("lsm/v1/hz-west/info", b"{}"),
        ("lsm/v1/hz-west/stats", b"{}"),
        (f"{CAMERA}/zone/lane-1/state", b""),
    ],
)
def test_what_another_message_says_already_has_no_line(topic: str, payload: bytes) -> None:
    assert line_of(topic, payload) is None


def test_a_payload_that_breaks_the_contract_is_an_error() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        line_of(f"{CAMERA}/health", b"offline")
