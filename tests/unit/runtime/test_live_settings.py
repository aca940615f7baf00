from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from lsm_monitor.config.models import MonitorConfig
from lsm_monitor.publish.commands import SetMode, SetProfile
from lsm_monitor.runtime.live_settings import effective
from lsm_monitor.runtime.overrides import RuntimeOverrides
from lsm_monitor.types import CameraId

NOW = datetime(2026, 7, 18, 6, 0, tzinfo=UTC)
BRIDGE = CameraId("bridge")
CONFIG = MonitorConfig.model_validate(
    {
        "version": 1,
        "site": "west",
        "mqtt": {"host": "h"},
        "profiles": {"night": {"open_for_s": 60, "mode": "patrol"}},
        "cameras": {"bridge": {"url": "rtsp://h/1"}, "quay": {"url": "rtsp://h/2"}},
    }
)


def overrides_in(folder: Path, *commands: SetMode | SetProfile) -> RuntimeOverrides:
    overrides = RuntimeOverrides.open(folder / "runtime.json", now=NOW)
    for command in commands:
        overrides.apply(command, now=NOW)
    return overrides


def test_a_profile_that_is_set_holds_for_its_camera_alone(tmp_path: Path) -> None:
    config = effective(CONFIG, overrides_in(tmp_path, SetProfile(BRIDGE, "night")))
    bridge = config.cameras["bridge"]
    assert (bridge.open_for_s, bridge.mode) == (60.0, "patrol")
    assert config.cameras["quay"] == CONFIG.cameras["quay"]


def test_a_mode_that_is_set_wins_over_that_of_the_profile(tmp_path: Path) -> None:
    commands = SetMode(BRIDGE, "continuous"), SetProfile(BRIDGE, "night")
    bridge = effective(CONFIG, overrides_in(tmp_path, *commands)).cameras["bridge"]
    assert (bridge.open_for_s, bridge.mode) == (60.0, "continuous")


def test_a_profile_that_the_file_no_longer_has_changes_nothing(tmp_path: Path) -> None:
    overrides = overrides_in(tmp_path, SetProfile(BRIDGE, "storm"))
    assert effective(CONFIG, overrides) == CONFIG
