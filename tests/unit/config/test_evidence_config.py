from __future__ import annotations

import pytest
from pydantic import ValidationError

from lsm_monitor.config.models import EvidenceConfig, MonitorConfig


def monitor_of(camera: dict[str, object], **evidence: object) -> MonitorConfig:
    return MonitorConfig.model_validate(
        {
            "version": 1,
            "site": "west",
            "mqtt": {"host": "broker"},
            "evidence": evidence,
            "cameras": {"bridge": {"url": "rtsp://192.0.2.1/1", **camera}},
        }
    )


def test_clips_cost_no_memory_unless_they_are_asked_for() -> None:
    assert EvidenceConfig().clip_mb == 0


@pytest.mark.parametrize("blur", ["outside_zones", "all"])
def test_clips_that_would_show_what_pictures_hide_are_refused(blur: str) -> None:
    with pytest.raises(ValidationError, match="cannot be blurred; set clip_mb: 0"):
        EvidenceConfig.model_validate({"clip_mb": 2, "blur": blur})


def test_a_camera_of_which_nothing_would_be_hidden_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="camera 'bridge' has no zones"):
        monitor_of({}, blur="outside_zones")
    zones = {"lane": {"points": [[0, 0], [1, 0], [1, 1]]}}
    assert monitor_of({"zones": zones}, blur="outside_zones").evidence.blur == "outside_zones"
    assert monitor_of({}, blur="all").evidence.blur == "all"
