"""The daemon in this process, to see what it still holds of a model that is not in use."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from lsm_monitor import app
from lsm_monitor.config.loader import load
from lsm_monitor.config.models import ModelConfig
from lsm_monitor.inference.segmenter import Segmenter
from lsm_monitor.model.bundle import save_bundle, stored_state
from lsm_monitor.runtime import logs
from lsm_monitor.runtime.model_exchange import ready_segmenter
from tests.integration.brokers import free_port
from tests.unit.model.models import EVERYTHING, MANIFEST, lively_model

TIMEOUT_S = 60.0


def config_text(bundle: str) -> str:
    return (
        "version: 1\nsite: test\nstate_dir: state\nreload_on_change: false\n"
        f"http: {{enabled: false}}\nmqtt: {{host: 127.0.0.1, port: {free_port()}}}\n"
        f"model: {{bundle: {bundle}, backend: torch, device: cpu, max_batch: 1}}\n"
        f"cameras: {{bridge: {{url: rtsp://127.0.0.1:{free_port()}/none}}}}\n"
    )


async def _exchange(path: Path, bundle: Path, is_freed: threading.Event) -> bool:
    """Run the daemon, have it go over to ``bundle``; return whether the first model went."""
    stop, is_ready = asyncio.Event(), asyncio.Event()
    daemon = app.Daemon(load(path, {}), environ={}, on_ready=is_ready.set)
    running = asyncio.create_task(daemon.run(stop))
    await asyncio.wait_for(is_ready.wait(), TIMEOUT_S)
    await asyncio.to_thread(path.write_text, config_text(str(bundle)))
    daemon.request_reload()
    went = await asyncio.to_thread(is_freed.wait, TIMEOUT_S)
    stop.set()
    await running
    return went


def test_the_first_model_goes_from_memory_when_another_has_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("old", "new"):
        state = stored_state(EVERYTHING, lively_model(EVERYTHING))
        save_bundle(tmp_path / name, MANIFEST | {"version": name}, state)
    is_freed = threading.Event()

    def watched(model: ModelConfig, on_progress: Callable[[str], None]) -> Segmenter:
        segmenter = ready_segmenter(model, on_progress)
        weakref.finalize(segmenter, is_freed.set)
        return segmenter

    monkeypatch.setattr(app, "ready_segmenter", watched)
    monkeypatch.setattr(logs, "configure", lambda **_: None)  # this process is pytest's
    path = tmp_path / "monitor.yaml"
    path.write_text(config_text(str(tmp_path / "old")))
    assert asyncio.run(_exchange(path, tmp_path / "new", is_freed))
