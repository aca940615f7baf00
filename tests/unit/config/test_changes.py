from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsm_monitor.config.changes import (
    JUDGING_KEYS,
    SOURCE_KEYS,
    TIMING_KEYS,
    Changes,
    changes,
)
from lsm_monitor.config.models import CameraConfig, MonitorConfig
from lsm_monitor.types import CameraId

TRIANGLE = [[0.1, 0.9], [0.5, 0.4], [0.9, 0.9]]
CAMERA = {"url": "rtsp://h/1"}


def config(cameras: dict[str, Any], **sections: object) -> MonitorConfig:
    return MonitorConfig.model_validate(
        {"version": 1, "site": "s", "mqtt": {"host": "h"}, "cameras": cameras, **sections}
    )


def of_one(**settings: object) -> MonitorConfig:
    return config({"a": {**CAMERA, **settings}})


def parts_of(found: Changes) -> set[str]:
    parts = ("added", "removed", "reopened", "rejudged", "retimed")
    return {part for part in parts if getattr(found, part) == {"a"}}


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({}, set()),
        ({"url": "rtsp://h/2"}, {"reopened"}),
        ({"username": "u", "password": "p"}, {"reopened"}),
        ({"decode": "all"}, {"reopened"}),
        ({"zones": {"z": {"points": TRIANGLE}}}, {"rejudged"}),
        ({"levels": {"wet": {"enter": 0.03, "leave": 0.01}}}, {"rejudged"}),
        ({"open_for_s": 31}, {"rejudged"}),
        ({"interval_s": 11}, {"retimed"}),
        ({"mode": "patrol"}, {"retimed"}),
        ({"priority": 9}, {"retimed"}),
        ({"enabled": False}, {"removed"}),
        ({"url": "rtsp://h/2", "interval_s": 11}, {"reopened", "retimed"}),
    ],
)
def test_a_key_touches_its_part_of_the_camera_and_no_other(
    settings: dict[str, Any], parts: set[str]
) -> None:
    assert parts_of(changes(of_one(), of_one(**settings))) == parts


def test_a_disabled_camera_is_added_when_it_is_enabled_and_untouched_until_then() -> None:
    off = of_one(enabled=False)
    assert parts_of(changes(off, of_one(url="rtsp://h/2"))) == {"added"}
    assert not changes(off, of_one(enabled=False, url="rtsp://h/2"))


def test_a_group_is_only_a_name_but_its_trigger_is_not() -> None:
    camera = {"a": {**CAMERA, "group": "g"}, "b": CAMERA}
    plain = config(camera, groups={"g": {}})
    rainy = config(camera, groups={"g": {"trigger": "rain"}})
    assert not changes(config({"a": CAMERA, "b": CAMERA}), plain)
    assert parts_of(changes(plain, rainy)) == {"retimed"}


def test_a_key_that_nobody_classified_touches_every_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lsm_monitor.config.changes.SOURCE_KEYS", SOURCE_KEYS - {"decode"})
    found = changes(of_one(), of_one(decode="all"))
    assert parts_of(found) == {"reopened", "rejudged", "retimed"}


def test_keys_that_need_a_restart_are_named() -> None:
    old = config({"a": CAMERA})
    new = config(
        {"a": CAMERA},
        site="t",
        mqtt={"host": "h", "port": 8883, "tls": True},
        capture={"patrol_parallel": 4},
        logging={"level": "debug"},
    )
    found = changes(old, new)
    assert found.restart_needed == (
        "site",
        "mqtt.port",
        "mqtt.tls",
        "capture.patrol_parallel",
    )
    assert str(found) == (
        "a restart is needed for site, mqtt.port, mqtt.tls, capture.patrol_parallel"
    )


def test_another_bundle_is_taken_over_live_and_another_backend_is_not() -> None:
    new = config({"a": CAMERA}, model={"bundle": "city", "backend": "torch"})
    found = changes(config({"a": CAMERA}), new)
    assert found.new_model
    assert found.restart_needed == ("model.backend",)
    assert str(found) == "another model, a restart is needed for model.backend"
    assert bool(changes(config({"a": CAMERA}), config({"a": CAMERA}, model={"bundle": "b"})))


def test_changes_are_told_in_a_line_and_without_secrets() -> None:
    cameras: dict[str, Any] = {"a": CAMERA, "b": CAMERA, "c": CAMERA}
    moved = {**CAMERA, "interval_s": 9, "username": "u", "password": "hunter2"}
    found = changes(config(cameras), config({"b": moved, "c": CAMERA, "d": CAMERA}))
    assert str(found) == "1 added, 1 removed, 1 reopened, 1 retimed"
    assert "hunter2" not in repr(found)
    assert str(changes(config(cameras), config(cameras))) == "no changes"


settings = st.fixed_dictionaries(
    {"url": st.sampled_from(["rtsp://h/1", "rtsp://h/2"])},
    optional={
        "enabled": st.booleans(),
        "group": st.sampled_from(["g", "h"]),
        "transport": st.sampled_from(["tcp", "udp"]),
        "zones": st.sampled_from([{}, {"z": {"points": TRIANGLE}}]),
        "min_frames": st.integers(1, 5),
        "interval_s": st.integers(1, 60),
        "mode": st.sampled_from(["continuous", "patrol"]),
        "priority": st.integers(0, 9),
    },
)
configs = st.builds(
    lambda cameras, triggers: config(
        cameras, groups={name: {"trigger": triggers[name]} for name in "gh"}
    ),
    st.dictionaries(st.sampled_from("abcdef"), settings, min_size=1),
    st.fixed_dictionaries({name: st.sampled_from([None, "rain", "sea"]) for name in "gh"}),
)


def running(of: MonitorConfig) -> dict[CameraId, dict[str, Any]]:
    """What the daemon runs: of each enabled camera its parts."""
    return {
        CameraId(name): {
            **{key: getattr(camera, key) for key in SOURCE_KEYS | JUDGING_KEYS | TIMING_KEYS},
            "trigger": of.trigger_of(camera),
        }
        for name, camera in of.cameras.items()
        if camera.enabled
    }


@given(configs, configs)
def test_applying_the_changes_to_what_runs_gives_what_shall_run(
    old: MonitorConfig, new: MonitorConfig
) -> None:
    found, cameras, wanted = changes(old, new), running(old), running(new)
    for name in found.removed:
        del cameras[name]
    for name in found.added:
        cameras[name] = wanted[name]
    for names, keys in (
        (found.reopened, SOURCE_KEYS),
        (found.rejudged, JUDGING_KEYS),
        (found.retimed, TIMING_KEYS | {"trigger"}),
    ):
        for name in names:
            cameras[name].update({key: wanted[name][key] for key in keys})
    assert cameras == wanted


@given(configs, configs)
def test_what_is_the_same_before_and_after_is_touched_by_nothing(
    old: MonitorConfig, new: MonitorConfig
) -> None:
    found, before, after = changes(old, new), running(old), running(new)
    touched = found.reopened | found.rejudged | found.retimed
    assert {name for name in before.keys() & after.keys() if before[name] != after[name]} == (
        touched
    )
    assert found.added.isdisjoint(before)
    assert found.removed.isdisjoint(after)
    assert not changes(new, new)


def test_every_key_that_is_classified_exists() -> None:
    classified = SOURCE_KEYS | JUDGING_KEYS | TIMING_KEYS | {"enabled", "group"}
    assert classified <= CameraConfig.model_fields.keys()
