"""``lsm-monitor export-hard``: hard examples as a folder that ``lsm-train adapt`` reads.

``frames/`` has the pictures, ``weak.json`` what operators said about them, in the trainer's
format, and ``manifest.json`` where each comes from and why it was picked. The folder is not
called ``images``: to the trainer a data set without masks is dry, and of most of these nobody
knows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from uuid import UUID

from lsm_monitor.commands.hard_examples import Example, Rules, candidates, pick
from lsm_monitor.errors import ConfigError, StoreError
from lsm_monitor.inference.second_opinion import SecondOpinion
from lsm_monitor.model.bundle import load_bundle
from lsm_monitor.publish import store_desk
from lsm_monitor.publish.outbox_open import OUTBOX_FILE
from lsm_monitor.publish.payloads import rfc3339
from lsm_monitor.types import Verdict

SCHEMA = "lsm.hard-examples/1"


def export_hard(
    state_dir: Path, out: Path, *, bundle: str, rules: Rules, now: datetime
) -> tuple[int, Mapping[str, int]]:
    """Pick hard examples from what the daemon kept and write them.

    Args:
        state_dir: The daemon's state folder.
        out: New or empty folder.
        bundle: Whose doubts count.
        rules: What is hard, and how much of it is enough.
        now: Timezone-aware UTC.

    Returns:
        How many were picked, and how many were left out, by reason.

    Raises:
        ConfigError: ``out`` has something in it.
        BundleError: The bundle cannot be used.
        StoreError: The state folder cannot be read, or ``out`` not be written.
    """
    if out.is_dir() and any(out.iterdir()):
        msg = f"{out}: is not empty; give a new folder as --out"
        raise ConfigError(msg)
    verdicts = {
        UUID(feedback.event_id): Verdict(feedback.verdict)
        for feedback in store_desk.feedback(state_dir / OUTBOX_FILE)  # the newest is the last
    }
    loaded = load_bundle(bundle)
    try:
        picked, left_out = pick(candidates(state_dir, verdicts), SecondOpinion(loaded), rules)
        frames = {_name(example): example for example in picked}
        described = _write_frames(frames, out / "frames")
        if gone := frames.keys() - described.keys():
            left_out["gone meanwhile"] += len(gone)
        model = loaded.manifest
        manifest = {
            "schema": SCHEMA,
            "made_at": rfc3339(now),
            "model": {
                "name": model.name,
                "version": model.version,
                "sha256": model.weights.sha256,
            },
            "rules": asdict(rules),
            "left_out": dict(left_out),
            "frames": list(described.values()),
        }
        labels = {
            name: {"verdict": example.candidate.verdict}
            for name, example in frames.items()
            if name in described and example.candidate.verdict is not None
        }
        _write_json(out / "weak.json", {"version": 1, "images": labels})
        _write_json(out / "manifest.json", manifest)
    except OSError as exc:
        msg = f"{exc.filename or out}: {exc.strerror}; check the folder, and make room"
        raise StoreError(msg) from exc
    return len(described), left_out


def _name(example: Example) -> str:
    candidate = example.candidate
    at_ms = candidate.taken_at.microsecond // 1000
    return f"{candidate.camera}-{candidate.taken_at:%Y%m%dT%H%M%S}{at_ms:03}Z.jpg"


def _write_frames(frames: Mapping[str, Example], folder: Path) -> dict[str, dict[str, object]]:
    """Copy the pictures, byte for byte; return by name what the manifest says of each.

    One that the daemon has deleted since it was looked at is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    described: dict[str, dict[str, object]] = {}
    for name, example in frames.items():
        try:
            data = example.candidate.path.read_bytes()
        except FileNotFoundError:
            continue
        (folder / name).write_bytes(data)
        event_id, seq = example.candidate.event or (None, None)
        described[name] = {
            "file": f"frames/{name}",
            "sha256": hashlib.sha256(data).hexdigest(),
            "camera": example.candidate.camera,
            "taken_at": rfc3339(example.candidate.taken_at),
            "reasons": example.reasons,
            "verdict": example.candidate.verdict,
            "event_id": None if event_id is None else str(event_id),
            "seq": seq,
            **asdict(example.opinions),
        }
    return described


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
