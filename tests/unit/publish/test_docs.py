"""The documentation says what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from prometheus_client import Metric

from lsm_monitor.metrics import Metrics
from lsm_monitor.publish.broker_causes import CAUSES
from lsm_monitor.types import HealthCode, ReasonCode

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "mqtt.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```json\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
GOLDEN = ["event_update", "state_flooded", "health_offline", "reply_refused", "info", "stats"]


@pytest.mark.parametrize(
    ("example", "name"), list(zip(EXAMPLES, GOLDEN, strict=True)), ids=GOLDEN
)
def test_every_example_is_what_the_code_sends(example: str, name: str) -> None:
    sent = json.loads((ROOT / "tests" / "golden" / f"{name}.json").read_bytes())
    shown = json.loads(example)
    assert shown == sent
    assert list(shown) == list(sent)


def test_every_counter_and_no_other_is_in_the_table() -> None:
    def name_of(metric: Metric) -> str:
        return metric.name + ("_total" if metric.type == "counter" else "")

    shown = set(re.findall(r"^\| `(lsm_\w+)` \|", TEXT, re.MULTILINE))
    assert shown == {name_of(metric) for metric in Metrics().registry.collect()}


def test_every_health_code_is_in_the_operators_table() -> None:
    guide = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^\| `([A-Z_]+)` \|", guide, re.MULTILINE))
    assert shown == set(HealthCode)


def test_every_cause_and_every_reason_is_explained() -> None:
    for word in [*CAUSES, *ReasonCode]:
        assert f"`{word}`" in TEXT


def test_every_alert_asks_for_a_counter_that_there_is() -> None:
    rules = yaml.safe_load((ROOT / "docs" / "prometheus-alerts.yaml").read_text())
    asked = {
        name
        for group in rules["groups"]
        for rule in group["rules"]
        for name in re.findall(r"lsm_[a-z_]+", rule["expr"])
    }
    assert len(asked) > 5
    assert {name.removesuffix("_count") for name in asked} <= {
        metric.name + ("_total" if metric.type == "counter" else "")
        for metric in Metrics().registry.collect()
    }
