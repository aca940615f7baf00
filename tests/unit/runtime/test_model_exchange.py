"""Another model takes over while the daemon runs; one that cannot be used does not."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from lsm_monitor.config.models import ModelConfig
from lsm_monitor.errors import ConfigError, InferenceError
from lsm_monitor.inference.segmenter import Segmenter
from lsm_monitor.metrics import Metrics
from lsm_monitor.model.bundle import save_bundle, stored_state
from lsm_monitor.publish.messages import Messages
from lsm_monitor.publish.payloads import Provenance
from lsm_monitor.publish.topics import Topics
from lsm_monitor.runtime.model_exchange import ModelExchange, on_exchange, ready_segmenter
from lsm_monitor.types import CameraId, Frame, FrameStamp
from tests.unit.model.models import EVERYTHING, MANIFEST, lively_model

FRAME = Frame(
    FrameStamp(CameraId("a"), 0, 0, None, datetime(2026, 7, 1, tzinfo=UTC), 0.0),
    np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8),
)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bundles with other weights, ``old`` and ``new``."""
    folder = tmp_path_factory.mktemp("bundles")
    for version in ("old", "new"):
        model = lively_model(EVERYTHING)
        if version == "new":
            assert model.head.small_model is not None
            for parameter in model.head.small_model.parameters():
                parameter.data.mul_(-1.0)
        save_bundle(
            folder / version, MANIFEST | {"version": version}, stored_state(EVERYTHING, model)
        )
    return folder


def config(folder: Path) -> ModelConfig:
    return ModelConfig(bundle=str(folder), backend="torch", device="cpu", max_batch=1)


def nothing(_text: str) -> None:
    """Progress that nobody looks at."""


@pytest.fixture
def exchange(bundles: Path) -> ModelExchange:
    model = config(bundles / "old")
    return ModelExchange(ready_segmenter(model, nothing), model, on_progress=nothing)


def mask(exchange: ModelExchange) -> np.ndarray:
    return exchange.in_use.segment([FRAME])[0].probability


def test_a_new_bundle_takes_over_between_two_batches_and_can_be_taken_back(
    exchange: ModelExchange, bundles: Path
) -> None:
    before = mask(exchange)
    exchange.prepare(config(bundles / "new"), {})
    exchange.adopt()
    assert np.array_equal(mask(exchange), before)  # not in the middle of anything
    exchange.in_use.exchange()
    assert exchange.in_use.identity.version == "new"
    assert not np.array_equal(mask(exchange), before)

    exchange.prepare(config(bundles / "old"), {})
    exchange.adopt()
    exchange.in_use.exchange()
    assert exchange.in_use.identity.version == "old"
    assert np.array_equal(mask(exchange), before)
    exchange.close()


def test_what_is_prepared_and_not_adopted_changes_nothing(
    exchange: ModelExchange, bundles: Path
) -> None:
    exchange.prepare(config(bundles / "new"), {})
    exchange.in_use.exchange()
    assert exchange.in_use.identity.version == "old"
    exchange.close()


def test_a_bundle_that_cannot_be_used_leaves_the_one_before(
    exchange: ModelExchange, bundles: Path
) -> None:
    with pytest.raises(
        ConfigError, match=r"model\.bundle: .*no such bundle.*old' stays in use"
    ):
        exchange.prepare(config(bundles / "none"), {})
    exchange.adopt()
    exchange.in_use.exchange()
    assert exchange.in_use.identity.version == "old"
    exchange.close()


def test_a_model_that_fails_its_first_run_is_freed_and_leaves_the_one_before(
    exchange: ModelExchange, bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []

    def fail(self: Segmenter) -> None:
        msg = f"model {self.identity.name}: the logits are not finite"
        raise InferenceError(msg)

    monkeypatch.setattr(Segmenter, "warm_up", fail)
    monkeypatch.setattr(Segmenter, "close", lambda self: closed.append(self.identity.version))
    with pytest.raises(ConfigError, match="the logits are not finite"):
        exchange.prepare(config(bundles / "new"), {})
    assert closed == ["new"]


def test_a_model_is_freed_when_another_has_taken_its_place_and_at_the_end(
    exchange: ModelExchange, bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []
    monkeypatch.setattr(Segmenter, "close", lambda self: closed.append(self.identity.version))
    for version in ("new", "old", "new"):  # the middle one never gets its turn
        exchange.prepare(config(bundles / version), {})
        exchange.adopt()
    assert closed == ["new", "old"]
    exchange.in_use.exchange()
    assert closed == ["new", "old", "old"]
    exchange.close()
    assert closed == ["new", "old", "old", "new"]


def test_messages_and_metrics_name_the_model_that_has_taken_over(
    exchange: ModelExchange, bundles: Path
) -> None:
    provenance = Provenance("west", "1.0", "c0ffee", exchange.in_use.identity)
    messages, metrics, told = Messages(Topics("lsm", "west"), provenance), Metrics(), []

    def tell() -> None:
        info = messages.info(device="cpu", started_at=FRAME.stamp.decoded_at, reason="reload")
        told.append(json.loads(info.payload))

    exchange.in_use.on_exchange = on_exchange(messages, metrics, tell)
    exchange.prepare(config(bundles / "new"), {})
    exchange.adopt()
    assert told == []
    exchange.in_use.exchange()
    assert [info["model"]["version"] for info in told] == ["new"]
    assert told[0]["config"] == "c0ffee"
    assert sum(key.startswith("lsm_build_info") for key in metrics.snapshot()) == 1
    exchange.close()
