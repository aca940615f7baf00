"""The small files that remember, damaged while the daemon was off."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from lsm_monitor.errors import StoreError
from lsm_monitor.publish.announced import AnnouncedTopics
from lsm_monitor.publish.commands import SetContext, SetEnabled
from lsm_monitor.runtime.overrides import RuntimeOverrides
from lsm_monitor.types import CameraId
from tests.fuzz.harness import Target

NOW = datetime(2026, 7, 1, tzinfo=UTC)


def memory_target(folder: Path) -> Target:
    """``runtime.json`` and ``announced.json``, each read as both."""
    seeds = folder / "seeds"
    overrides = RuntimeOverrides.open(seeds / "runtime.json", now=NOW)
    overrides.apply(SetEnabled(CameraId("bridge"), enabled=False), now=NOW)
    overrides.apply(SetContext("rain", active=True, for_s=60.0), now=NOW)
    AnnouncedTopics.open(seeds / "announced.json", now=NOW).replace({"a/b", "a/c"})
    path = folder / "state" / "memory.json"
    path.parent.mkdir()

    def run(data: bytes) -> None:
        for kind in (RuntimeOverrides, AnnouncedTopics):
            for stale in path.parent.iterdir():
                stale.unlink()
            path.write_bytes(data)
            kept = kind.open(path, now=NOW)
            if isinstance(kept, RuntimeOverrides):
                kept.camera(CameraId("bridge"))
                kept.active_contexts(NOW)
                kept.next_end(NOW)
                kept.apply(SetEnabled(CameraId("bridge"), enabled=True), now=NOW)
            else:
                kept.strike(kept.replace({"a/b"}))

    words = (b'"version": 1', b'"topics": [', b'"cameras": {', b'"until": "2026-', b"null")
    seed_files = tuple(
        (seeds / name).read_bytes() for name in ("runtime.json", "announced.json")
    )
    return Target("memory", seed_files, run, (StoreError,), words)
