from __future__ import annotations

from pathlib import Path

import pytest

from lsm_monitor.config.loader import LoadedConfig, load
from lsm_monitor.errors import ConfigError

HEAD = "version: 1\nsite: west\nmqtt: {host: localhost}\n"
GROUPS = (
    "defaults: {interval_s: 30, levels: {flooded: {enter: 0.3, leave: 0.2}}}\n"  # line 4
    "groups:\n"
    "  tunnel:\n"
    "    interval_s: 10\n"
    "    trigger: rain\n"
    "    username: admin\n"
    "    password: ${env:PW}\n"
)


def load_text(tmp_path: Path, text: str) -> LoadedConfig:
    (tmp_path / "monitor.yaml").write_text(text)
    return load(tmp_path / "monitor.yaml", {"PW": "hunter2"})


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        load_text(tmp_path, text)
    return str(error.value).splitlines()


def test_a_camera_wins_over_its_group_and_the_group_over_the_defaults(tmp_path: Path) -> None:
    config = load_text(
        tmp_path,
        HEAD
        + GROUPS
        + (
            "cameras:\n"
            "  a: {url: rtsp://h/1, group: tunnel}\n"
            "  b: {url: rtsp://h/2, group: tunnel, interval_s: 5, username: root}\n"
            "  c: {url: rtsp://h/3}\n"
        ),
    ).config
    a, b, c = (config.cameras[name] for name in "abc")
    assert [a.interval_s, b.interval_s, c.interval_s] == [10, 5, 30]
    assert [each.levels.flooded.enter for each in (a, b, c)] == [0.3, 0.3, 0.3]
    assert [a.username, b.username, c.username] == ["admin", "root", None]
    assert a.password is not None
    assert a.password.get_secret_value() == "hunter2"
    assert [config.trigger_of(each) for each in (a, b, c)] == ["rain", "rain", None]


def test_a_group_that_is_not_there_is_reported_with_the_one_that_was_meant(
    tmp_path: Path,
) -> None:
    text = HEAD + GROUPS + "cameras:\n  a:\n    url: rtsp://h/1\n    group: tunnels\n"
    assert problems(tmp_path, text) == [
        "monitor.yaml:14: cameras.a.group: there is no group 'tunnels'; did you mean 'tunnel'?"
    ]
    text = HEAD + "cameras:\n  a:\n    url: rtsp://h/1\n    group: tunnels\n"
    assert problems(tmp_path, text) == [
        "monitor.yaml:7: cameras.a.group: there is no group 'tunnels'; add it under 'groups'"
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(
            "interval_s: 30",
            "interval_s: -1",
            "monitor.yaml:4: defaults.interval_s: Input should be greater than 0",
            id="defaults",
        ),
        pytest.param(
            "interval_s: 10",
            "interval_s: -1",
            "monitor.yaml:7: groups.tunnel.interval_s: Input should be greater than 0",
            id="group",
        ),
        pytest.param(
            "interval_s: 10",
            "intervals: 10",
            "monitor.yaml:7: groups.tunnel.intervals: unknown key; did you mean 'interval_s'?",
            id="unknown-key-of-a-group",
        ),
        pytest.param(
            "interval_s: 10",
            "interval_s: 5m",
            "monitor.yaml:6: groups.tunnel: 'stale_after_s' (120) must be at least twice "
            "'interval_s' (300), or the camera would be unknown between two pictures; try "
            "stale_after_s: 900",
            id="two-values-of-a-group",
        ),
        pytest.param(
            "enter: 0.3, leave: 0.2",
            "enter: 0.1, leave: 0.2",
            "monitor.yaml:4: defaults.levels.flooded: 'leave' (0.2) must be below 'enter' "
            "(0.1), or the level would flap; try leave: 0.06",
            id="two-values-of-the-defaults",
        ),
        pytest.param(
            "trigger: rain",
            "url: rtsp://h/2",
            "monitor.yaml:8: groups.tunnel.url: does not belong here",
            id="a-camera's-key",
        ),
    ],
)
def test_a_mistake_that_many_cameras_inherit_is_told_once_where_it_stands(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    text = HEAD + GROUPS.replace(old, new)
    text += "cameras:\n" + "".join(
        f"  c{i}: {{url: rtsp://h/{i}, group: tunnel}}\n" for i in range(50)
    )
    assert problems(tmp_path, text) == [expected]


def test_a_value_that_only_clashes_with_what_is_inherited_is_the_cameras_own_mistake(
    tmp_path: Path,
) -> None:
    text = (
        HEAD
        + GROUPS
        + (
            "cameras:\n"
            "  a: {url: rtsp://h/1, group: tunnel}\n"
            "  b: {url: rtsp://h/2, group: tunnel, stale_after_s: 15}\n"
        )
    )
    (line,) = problems(tmp_path, text)
    assert line.startswith("monitor.yaml:13: cameras.b: 'stale_after_s' (15) must be at least")


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("fast_interval_s: 20", "'fast_interval_s' (20) must not exceed 'interval_s' (10)"),
        (
            "mode: triggered, idle_interval_s: 5, stale_after_s: 1h",
            "'idle_interval_s' (5) must not be below 'interval_s' (10)",
        ),
        (
            "mode: triggered",
            "'stale_after_s' (120) must be at least twice 'idle_interval_s' (900)",
        ),
        ("mode: sometimes", "Input should be 'continuous', 'patrol' or 'triggered'"),
        ("priority: 10", "Input should be less than or equal to 9"),
    ],
)
def test_settings_of_the_watch_that_contradict_each_other_are_refused(
    tmp_path: Path, keys: str, expected: str
) -> None:
    (line,) = problems(tmp_path, HEAD + f"cameras: {{a: {{url: rtsp://h/1, {keys}}}}}\n")
    assert expected in line
