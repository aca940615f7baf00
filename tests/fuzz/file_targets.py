"""What hostile bytes can reach through files: configuration, bundle, outbox, log; and MQTT."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import safetensors.torch
import torch

from lsm_monitor.capture.redact import Redactor
from lsm_monitor.config.loader import load
from lsm_monitor.errors import BundleError, ConfigError, StoreError
from lsm_monitor.model import bundle
from lsm_monitor.model.storage import pack
from lsm_monitor.publish.command_parser import parse
from lsm_monitor.publish.commands import Known, SetEnabled
from lsm_monitor.publish.inbox import InboundMessage
from lsm_monitor.publish.outbox import Outbox
from lsm_monitor.publish.topics import Topics
from lsm_monitor.runtime.logs import RedactingFormatter
from lsm_monitor.runtime.overrides import RuntimeOverrides
from lsm_monitor.types import CameraId, EventKind
from tests.fuzz.harness import BrokenPromiseError, Target
from tests.unit.publish.scenes import event_of, messages_of

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 7, 1, tzinfo=UTC)
SECRET = "hunter2"


def yaml_target(folder: Path) -> Target:
    """The configuration file."""
    path = folder / "monitor.yaml"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        load(path, {"LSM_MQTT_PASSWORD": SECRET, "LSM_CAMERA_PASSWORD": SECRET})

    example = (ROOT / "config/monitor.example.yaml").read_bytes()
    compact = b"\n".join(
        line for line in example.splitlines() if b"#" not in line[:1] and line.strip()
    )
    words = (
        b"&a ", b"*a", b"<<: *a", b"!!python/object/apply:os.system ['id']", b"!!binary aa",
        b"? ", b"- ", b"|\n", b">\n", b"---\n", b"%YAML 9.9\n", b"${env:X}", b"${file:x}",
        b"${cred:../../x}", b"2001-99-99", b"1:2:3", b"!!timestamp x", b"\t", b"&a [*a]",
    )  # fmt: skip
    minimal = (ROOT / "config/monitor.minimal.yaml").read_bytes()
    tiny = b"version: 1\nsite: a\nmqtt: {host: b}\ncameras:\n  c: {url: rtsp://192.0.2.1/1}\n"
    return Target("yaml", (minimal, tiny, tiny, tiny, compact), run, (ConfigError,), words)


def table_target(folder: Path) -> Target:
    """A table of cameras."""
    (folder / "cameras.csv").touch()
    main = folder / "monitor.yaml"
    main.write_text(
        "version: 1\nsite: a\nmqtt: {host: b}\ngroups: {underpasses: {}}\n"
        "inventory: [cameras.csv]\n"
    )

    def run(data: bytes) -> None:
        (folder / "cameras.csv").write_bytes(data)
        load(main, {"LSM_CAMERA_PASSWORD": SECRET})

    shipped = (ROOT / "config/cameras.example.csv").read_bytes()
    tiny = b"id;url;levels.wet.enter\r\na;rtsp://192.0.2.1/1;0,01\r\n"
    words = (
        b'"', b'""', b";", b"\t", b"sep=;\n", b"\r", b"\xef\xbb\xbf", b"[[", b'{"a":', b".",
        b"${env:X}", b"${file:x}", b"zones.", b"NaN", b"1e999", b"id,", b"\x00", b"\xc2\x85",
        b"\\ud800",
    )  # fmt: skip
    return Target("table", (shipped, tiny, tiny), run, (ConfigError,), words)


def commands_target(_folder: Path) -> Target:
    """What anybody may publish to us: a line with the topic, then the payload."""
    topics = Topics("lsm/v1", "west")
    known = Known(frozenset({"bridge"}), frozenset({"night"}), frozenset({"rain"}))

    def run(data: bytes) -> None:
        topic, _, payload = data.partition(b"\n")
        text = topic.decode("utf-8", "replace")
        retain = len(data) % 17 == 0
        message = InboundMessage(text, payload, retain, correlation=payload[-8:])
        request = parse(message, topics=topics, known=known, now=NOW)
        if retain and request.command is not None:
            msg = "a retained command was obeyed"
            raise BrokenPromiseError(msg)
        if request.command is None and not request.refusal.isprintable():
            raise BrokenPromiseError(request.refusal)

    event_id = b"019816a2-7c1e-7b60-9f0e-2b1f6a1d9c55"
    seeds = (
        b"lsm/v1/west/cmd/reload\n{}",
        b'lsm/v1/west/cmd/snapshot\n{"camera": "bridge", "correlation_id": "7"}',
        b"lsm/v1/west/camera/bridge/enabled/set\nOFF",
        b"lsm/v1/west/camera/bridge/mode/set\npatrol",
        b'lsm/v1/west/context/rain/set\n{"value": "ON", "for_s": 3600}',
        b'lsm/v1/west/event/%s/feedback\n{"verdict": "other", "note": "deep", "by": "ann"}'
        % event_id,
    )
    words = (
        b"/",
        b"+",
        b"#",
        b"$share/x/",
        b"null",
        b'{"value": ',
        b"\\u0000",
        b"\\ud800",
        event_id,
    )
    return Target("commands", seeds, run, (), words)


def overrides_target(folder: Path) -> Target:
    """What was set by command, kept in the state folder."""
    path = folder / "runtime.json"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        overrides = RuntimeOverrides.open(path, now=NOW)
        overrides.active_contexts(NOW)
        overrides.next_end(NOW)
        overrides.apply(SetEnabled(CameraId("bridge"), enabled=False), now=NOW)
        overrides.keep_only([CameraId("bridge")], ["rain"], ["storm"])

    seed = (
        b'{"version": 1, "cameras": {"bridge": {"enabled": false, "mode": "patrol"}}, '
        b'"contexts": {"rain": {"until": "2026-07-02T00:00:00Z"}}}'
    )
    words = (
        b"null",
        b'"profile": "../x"',
        b"0001-01-01T00:00:00Z",
        b"9999-12-31T23:59:59+23:59",
    )
    return Target("overrides", (seed,), run, (StoreError,), words)


def manifest_target(folder: Path) -> Target:
    """A bundle's manifest."""
    path = folder / "manifest.json"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        bundle._read_manifest(path)

    shipped = (bundle.SHIPPED / "compact" / "manifest.json").read_bytes()
    words = (b'"format_version": 2', b'"parts": {}', b'"__class__"', b"\\ud800", b"1e400")
    return Target("manifest", (shipped,), run, (BundleError,), words)


def weights_target(folder: Path) -> Target:
    """A bundle's weights, by someone who also wrote the hash in the manifest."""
    path = folder / "weights.safetensors"
    state = {
        "conv.weight": torch.arange(24.0).view(2, 3, 2, 2),
        "conv.bias": torch.ones(2),
        "norm.weight": torch.ones(4),
        "steps": torch.tensor(7),
    }

    def run(data: bytes) -> None:
        path.write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        section = bundle.WeightsSection(sha256=digest, bytes=max(1, len(data)))
        bundle._check_tensors(path, bundle._read_weights(path, section), state)

    dtypes = [
        "F64",
        "F32",
        "F16",
        "BF16",
        "I64",
        "I32",
        "I16",
        "I8",
        "U8",
        "U16",
        "U32",
        "U64",
        "BOOL",
        "F8_E4M3",
        "F8_E5M2",
        "F4",
        "C64",
    ]
    words = [f'"dtype":"{name}"'.encode() for name in dtypes]
    words += [b'"data_offsets":[0,0]', b'"shape":[]', b'"shape":[0]', b"conv.weight.scale"]
    seeds = [safetensors.torch.save(pack(state))]
    seeds += [
        safetensors.torch.save({"conv.bias": torch.ones(2).to(dtype)})
        for dtype in (torch.float64, torch.int64, torch.bool, torch.float8_e4m3fn)
    ]
    return Target("weights", seeds, run, (BundleError,), words)


def bundle_target(folder: Path) -> Target:
    """A whole bundle, its manifest changed and its weights real."""
    place = folder / "bundle"
    shutil.copytree(bundle.SHIPPED / "compact", place)

    def run(data: bytes) -> None:
        (place / "manifest.json").write_bytes(data)
        bundle.load_bundle(place)

    shipped = json.loads((bundle.SHIPPED / "compact" / "manifest.json").read_bytes())
    seeds = [json.dumps(shipped).encode()]
    names = [
        b'"small_lite"',
        b'"u2netp"',
        b'"sinet_v2"',
        b'"sam_vit_b"',
        b'"efficientnet_lite0"',
    ]
    return Target("bundle", seeds, run, (BundleError,), names, limit_s=60.0)


def outbox_target(folder: Path) -> Target:
    """The outbox's file, damaged while the daemon was off."""
    path = folder / "outbox" / "outbox.sqlite3"
    path.parent.mkdir()
    with closing(Outbox.open(folder / "seed.sqlite3", now=NOW)) as outbox:
        for seq, kind in enumerate(
            (EventKind.OPEN, EventKind.UPDATE, EventKind.STALE), start=1
        ):
            event = event_of(kind, seq=seq)
            outbox.record(event, messages_of(event), now=NOW)
    seed = (folder / "seed.sqlite3").read_bytes()

    def run(data: bytes) -> None:
        for stale in path.parent.iterdir():
            stale.unlink()
        path.write_bytes(data)
        with closing(Outbox.open(path, now=NOW)) as outbox:
            outbox.episodes()
            outbox.kept()
            outbox.delete(row.row_id for row in outbox.pending(100))
            outbox.count()
            outbox.oldest_at()

    words = (
        b"SQLite format 3\x00",
        b"outbox",
        b"episode",
        b"CREATE TABLE",
        b"flooded",
        b"2026-",
    )
    return Target("outbox", (seed,), run, (StoreError,), words)


def log_target(_folder: Path) -> Target:
    """Texts of third parties on their way to the log: no credential, one line."""
    formatter = RedactingFormatter("logfmt", Redactor([SECRET]).redact)

    def run(data: bytes) -> None:
        text = data.decode("utf-8", "surrogateescape")
        record = logging.LogRecord("x", logging.INFO, "f", 1, "failed: %s", (text,), None)
        line = formatter.format(record)
        if SECRET in line or "\n" in line:
            raise BrokenPromiseError(line[:100])

    seeds = (
        b"cannot open rtsp://monitor:hunter2@192.0.2.1:554/stream1?token=hunter2",
        b"Invalid data: 'rtsp://u:hunter2@[2001:db8::1]/a' and http://h/p?x=1",
        b"\xff\xfe rtsp://u@h\n",
    )
    return Target("log", seeds, run, (), (b"://", b"@", b"hunter2", b"%68unter2", b"[", b"]"))
