"""What hostile bytes can reach through the broker, and the small files that remember."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from lsm_monitor.errors import StoreError
from lsm_monitor.publish.announced import AnnouncedTopics
from lsm_monitor.publish.command_parser import parse
from lsm_monitor.publish.commands import Known, SetContext, SetEnabled
from lsm_monitor.publish.inbox import InboundMessage
from lsm_monitor.runtime.overrides import RuntimeOverrides
from lsm_monitor.types import CameraId
from tests.fuzz.harness import BrokenPromiseError, Target
from tests.unit.publish.scenes import EVENT_ID, TOPICS, UNDERPASS

NOW = datetime(2026, 7, 1, tzinfo=UTC)
_KNOWN = Known(frozenset({UNDERPASS}), frozenset({"storm"}), frozenset({"rain"}))
_BASE = b"lsm/v1/hz-west/"
_COMMANDS = (
    b"cmd/reload\n",
    b'cmd/snapshot\n{"camera":"wensan-underpass","correlation_id":"1"}',
    b"camera/wensan-underpass/enabled/set\nOFF",
    b'camera/wensan-underpass/mode/set\n{"value":"patrol"}',
    b"camera/wensan-underpass/profile/set\nstorm",
    b'context/rain/set\n{"value":"ON","for_s":3600}',
    b"event/%s/feedback\n" % str(EVENT_ID).encode()
    + b'{"verdict":"reflection","note":"wet","by":"li"}',
)


def command_target(_folder: Path) -> Target:
    """A message on a topic that we listen to: the first line is the topic."""

    def run(data: bytes) -> None:
        topic, _, payload = data.partition(b"\n")
        message = InboundMessage(
            topic.decode("utf-8", "surrogateescape"),
            payload,
            retain=len(data) % 17 == 0,
            correlation=payload[:9] if len(data) % 3 else None,
        )
        request = parse(message, topics=TOPICS, known=_KNOWN, now=NOW)
        json.dumps([request.refusal, request.correlation_id], ensure_ascii=False).encode()
        if (request.command is None) != bool(request.refusal):
            raise BrokenPromiseError(str(request)[:100])
        if message.retain and request.command is not None:
            msg = "a retained command was obeyed"
            raise BrokenPromiseError(msg)

    words = (b"ON", b"OFF", b"default", b'"value":', b'"for_s":1e999', b'{"', b"/set\n", b"..")
    return Target("command", tuple(_BASE + c for c in _COMMANDS), run, (), words)


def memory_target(folder: Path) -> Target:
    """``runtime.json`` and ``announced.json``, damaged while the daemon was off."""
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
