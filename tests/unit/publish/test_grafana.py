"""The dashboard in ``docs/grafana`` asks for what the daemon counts, in PromQL that parses."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Metric

from lsm_monitor.metrics import Metrics

DOCS = Path(__file__).parents[3] / "docs"
BOARD: dict[str, Any] = json.loads((DOCS / "grafana" / "lsm-monitor.json").read_bytes())
PANELS: list[dict[str, Any]] = [p for p in BOARD["panels"] if p["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]
_PARTS = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",)}


def _names(metric: Metric) -> Iterator[str]:
    for part in _PARTS.get(metric.type, ("",)):
        yield metric.name + part


def _asked(expression: str) -> set[str]:
    return set(re.findall(r"\blsm_\w+", expression))


def test_every_query_asks_for_a_counter_that_there_is() -> None:
    there_are = {name for metric in Metrics().registry.collect() for name in _names(metric)}
    variables = [v["definition"] for v in BOARD["templating"]["list"] if v["type"] == "query"]
    for expression in [*QUERIES, *variables]:
        assert _asked(expression)
        assert _asked(expression) <= there_are


def test_every_selector_and_group_uses_a_label_that_its_counter_has() -> None:
    labels = {
        name: {*metric_labels, "instance", "le"}
        for metric, metric_labels in _labels()
        for name in _names(metric)
    }
    selectors = [s for q in QUERIES for s in re.findall(r"(lsm_\w+)\{([^}]*)\}", q)]
    assert len(selectors) > 20
    for name, selector in selectors:
        assert set(re.findall(r"(\w+)\s*=", selector)) <= labels[name], name
    for query in QUERIES:
        for group in re.findall(r"by \(([^)]*)\)", query):
            assert {label.strip() for label in group.split(",")} <= labels[_asked(query).pop()]


def _labels() -> Iterator[tuple[Metric, tuple[str, ...]]]:
    metrics = Metrics()
    for value in vars(metrics).values():
        if hasattr(value, "describe"):
            yield value.describe()[0], value._labelnames


def test_the_dashboard_can_be_imported_and_its_panels_lie_side_by_side() -> None:
    assert {"uid", "title", "schemaVersion", "templating", "time"} <= BOARD.keys()
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken
        taken |= cells
    for panel in PANELS:
        assert panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        refs = [target["refId"] for target in panel["targets"]]
        assert refs == sorted(set(refs))


def test_prometheus_parses_every_query_and_every_alert(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool: apt-get install prometheus")
    rules = [
        {"record": f"query:{i}", "expr": query.replace("$__rate_interval", "1m")}
        for i, query in enumerate(QUERIES)
    ]
    queries = tmp_path / "queries.yaml"
    queries.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    checked = subprocess.run(  # noqa: S603 - our own files
        [promtool, "check", "rules", str(queries), str(DOCS / "prometheus-alerts.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
