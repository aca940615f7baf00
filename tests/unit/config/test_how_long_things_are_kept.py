from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from lsm_monitor.config.delivery import CapConfig, ReadingsConfig, StoreConfig
from lsm_monitor.config.models import MqttConfig
from lsm_monitor.metrics import Metrics
from lsm_monitor.publish.outbox import Outbox
from lsm_monitor.publish.outbox_rows import StoreLimits

NOW = datetime(2026, 7, 18, 6, 0, tzinfo=UTC)
A_CENTURY_DAYS = 36_500


@pytest.mark.parametrize("days", [999_999, 10**10])
@pytest.mark.parametrize("key", ["history_days", "minute_days", "quarter_hour_days"])
def test_a_number_of_days_that_no_calendar_has_is_refused(key: str, days: int) -> None:
    section = StoreConfig if key == "history_days" else ReadingsConfig
    with pytest.raises(ValidationError, match=f"less than or equal to {A_CENTURY_DAYS}"):
        section.model_validate({key: days})


@pytest.mark.parametrize("seconds", [float("inf"), 99_999_999_999])
def test_an_expiry_that_no_calendar_has_is_refused(seconds: float) -> None:
    with pytest.raises(ValidationError, match="event_expiry_s"):
        MqttConfig.model_validate({"host": "broker", "event_expiry_s": seconds})
    with pytest.raises(ValidationError, match="expires_s"):
        CapConfig.model_validate({"sender": "a@b", "expires_s": seconds})


def test_an_alert_s_expiry_may_be_written_with_its_unit() -> None:
    assert CapConfig.model_validate({"sender": "a@b", "expires_s": "12h"}).expires_s == 43_200


def test_the_longest_times_that_are_taken_are_times_the_outbox_can_count(
    tmp_path: Path,
) -> None:
    store = StoreConfig(history_days=A_CENTURY_DAYS)
    mqtt = MqttConfig(host="broker", event_expiry_s=A_CENTURY_DAYS * 86_400)
    limits = StoreLimits(history_days=store.history_days, event_expiry_s=mqtt.event_expiry_s)
    outbox = Outbox.open(tmp_path / "outbox.sqlite3", now=NOW, limits=limits, metrics=Metrics())
    assert outbox.settle(NOW.replace(hour=7)) == []
    outbox.close()
