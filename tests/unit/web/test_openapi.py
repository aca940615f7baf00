"""Whatever the OpenAPI document allows is asked; no answer may be a fault or undocumented."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from lsm_monitor.types import EventKind, WaterLevel
from tests.unit.publish.scenes import EVENT_ID, event_of, messages_of
from tests.web_daemon import WebDaemon

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
OPERATIONS = [
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
    ("get", "/api/stats"),
    ("get", "/api/session"),
    ("post", "/api/login"),
    ("post", "/api/logout"),
    ("get", "/api/cameras"),
    ("get", "/api/cameras/{camera_id}"),
    ("get", "/api/cameras/{camera_id}/picture.jpg"),
    ("get", "/api/cameras/{camera_id}/readings"),
    ("post", "/api/cameras/{camera_id}/preview"),
    ("post", "/api/cameras/{camera_id}/diff"),
    ("post", "/api/cameras/{camera_id}/save"),
    ("get", "/api/episodes"),
    ("get", "/api/episodes/{event_id}"),
    ("post", "/api/episodes/{event_id}/acknowledge"),
    ("post", "/api/episodes/{event_id}/feedback"),
    ("get", "/api/evidence/{event_id}/{name}"),
]
WITH_INPUT = [each for each in OPERATIONS if each[0] == "post" or "{" in each[1]]
ENDLESS = {("get", "/api/stream")}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDaemon]:
    with WebDaemon(tmp_path_factory.mktemp("state")) as running:
        running.see(WaterLevel.FLOODED, 0.3)
        running.show()
        event = event_of(EventKind.OPEN, seq=1)
        running.outbox.record(event, messages_of(event), now=running.clock.now())
        yield running


def test_every_endpoint_is_asked_below(daemon: WebDaemon) -> None:
    documented = {
        (method, path)
        for path, methods in daemon.app.openapi()["paths"].items()
        for method in methods
    }
    assert documented == {*OPERATIONS, *ENDLESS}


@pytest.mark.parametrize(
    ("mode", "method", "path"),
    [
        *((GenerationMode.POSITIVE, *operation) for operation in OPERATIONS),
        *((GenerationMode.NEGATIVE, *operation) for operation in WITH_INPUT),
    ],
)
def test_every_answer_is_as_documented(
    daemon: WebDaemon, mode: GenerationMode, method: str, path: str
) -> None:
    operation = schemathesis.openapi.from_dict(daemon.app.openapi())[path][method.upper()]
    token = {"X-CSRF-Token": daemon.get("/api/session").json["csrf"]}
    there = st.sampled_from(
        [{}, {"camera_id": "bridge", "event_id": str(EVENT_ID), "name": "1.jpg"}]
    )

    @settings(
        max_examples=8,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), known=there)
    def ask(case: Case[Any], known: dict[str, str]) -> None:
        if mode is GenerationMode.POSITIVE:
            given_too = {key: known[key] for key in case.path_parameters if key in known}
            case.path_parameters = {**case.path_parameters, **given_too}
        case.headers.update(token)
        case.call_and_validate(base_url=f"http://127.0.0.1:{daemon.port}", checks=CHECKS)

    ask()
