from __future__ import annotations

from pathlib import Path

import pytest

from lsm_monitor.config.changes import changes
from lsm_monitor.config.loader import LoadedConfig, load
from lsm_monitor.config.profiles import with_profile
from lsm_monitor.errors import ConfigError

HEAD = "version: 1\nsite: west\nmqtt: {host: localhost}\n"
CAMERAS = (
    "cameras:\n"
    "  a:\n"
    "    url: rtsp://h/1\n"
    "    username: admin\n"
    "    password: hunter2\n"
    "    levels: {ponding: {enter: 0.10, leave: 0.05}}\n"
    "    zones: {lane: {points: [[0.1, 0.9], [0.5, 0.4], [0.9, 0.9]]}}\n"
    "  b: {url: clips/night.mp4, interval_s: 50}\n"
)


def load_text(tmp_path: Path, text: str) -> LoadedConfig:
    (tmp_path / "monitor.yaml").write_text(text)
    return load(tmp_path / "monitor.yaml", {})


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        load_text(tmp_path, text)
    return str(error.value).splitlines()


def test_a_profile_changes_what_it_says_and_nothing_else(tmp_path: Path) -> None:
    profiles = "profiles:\n  night:\n    open_for_s: 1m\n    levels: {ponding: {enter: 0.12}}\n"
    config = load_text(tmp_path, HEAD + profiles + CAMERAS).config
    a = config.cameras["a"]
    night = with_profile(a, config.profiles["night"])
    assert night.open_for_s == 60.0
    assert (night.levels.ponding.enter, night.levels.ponding.leave) == (0.12, 0.05)
    before = {**dict(a), "open_for_s": 60.0, "levels": night.levels}
    assert dict(night) == before


def test_an_empty_profile_changes_no_camera(tmp_path: Path) -> None:
    config = load_text(tmp_path, HEAD + "profiles: {night: {}}\n" + CAMERAS).config
    cameras = {name: with_profile(camera, {}) for name, camera in config.cameras.items()}
    assert cameras == config.cameras


@pytest.mark.parametrize(
    ("profile", "problem"),
    [
        ("intervals: 3", "unknown key; did you mean 'interval_s'?"),
        ("url: rtsp://h/9", "does not belong into a profile"),
        ("water_share_of: road", "does not belong into a profile"),
        ("interval_s: -3", "Input should be greater than 0"),
    ],
)
def test_a_fault_of_a_profile_is_told_once_and_where_it_stands(
    tmp_path: Path, profile: str, problem: str
) -> None:
    text = HEAD + f"profiles:\n  night:\n    {profile}\n" + CAMERAS
    key = profile.partition(":")[0]
    assert problems(tmp_path, text) == [f"monitor.yaml:6: profiles.night.{key}: {problem}"]


def test_a_profile_names_no_file_since_none_is_beside_it_when_it_is_set(tmp_path: Path) -> None:
    text = HEAD + "defaults: {tls_verify: true}\nprofiles:\n  night:\n    tls_ca_file: ca.pem\n"
    assert problems(tmp_path, text + CAMERAS) == [
        "monitor.yaml:7: profiles.night.tls_ca_file: does not belong into a profile"
    ]


def test_a_profile_that_does_not_fit_a_camera_is_refused_with_that_camera(
    tmp_path: Path,
) -> None:
    """With ``a``, which looks every ten seconds, it would do."""
    text = HEAD + "profiles:\n  storm:\n    stale_after_s: 30\n" + CAMERAS
    (problem,) = problems(tmp_path, text)
    assert problem.startswith(
        "monitor.yaml:5: profiles.storm: camera 'b': 'stale_after_s' (30) must be at least "
        "twice 'interval_s' (50)"
    )


def test_no_profile_is_called_as_the_word_for_none(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, HEAD + "profiles:\n  default: {}\n" + CAMERAS)
    assert problem.startswith("monitor.yaml:4: profiles: a profile cannot be called 'default'")


def test_another_text_of_a_profile_needs_no_restart(tmp_path: Path) -> None:
    before = load_text(tmp_path, HEAD + CAMERAS).config
    after = load_text(tmp_path, HEAD + "profiles: {night: {priority: 1}}\n" + CAMERAS).config
    assert not changes(before, after)
