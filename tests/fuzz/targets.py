"""The list of everything that hostile bytes can reach; a new input gets its entry here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.fuzz.broker_target import broker_target
from tests.fuzz.camera_targets import rtsp_target, video_target, web_camera_target
from tests.fuzz.file_targets import (
    bundle_target,
    commands_target,
    log_target,
    manifest_target,
    outbox_target,
    overrides_target,
    table_target,
    weights_target,
    yaml_target,
)
from tests.fuzz.harness import Target
from tests.fuzz.memory_target import memory_target
from tests.fuzz.network_targets import http_target, status_target
from tests.fuzz.page_targets import page_target, users_target

IN_A_FOLDER: Mapping[str, Callable[[Path], Target]] = {
    "yaml": yaml_target,
    "table": table_target,
    "commands": commands_target,
    "overrides": overrides_target,
    "manifest": manifest_target,
    "weights": weights_target,
    "bundle": bundle_target,
    "outbox": outbox_target,
    "log": log_target,
    "video": video_target,
    "memory": memory_target,
    "users": users_target,
}
SERVED: Mapping[str, Callable[[], AbstractContextManager[Target]]] = {
    "http": http_target,
    "status": status_target,
    "broker": broker_target,
    "rtsp": rtsp_target,
    "web-camera": web_camera_target,
}
SERVED_FROM: Mapping[str, Callable[[Path], AbstractContextManager[Target]]] = {
    "page": page_target,
}
NAMES = (*IN_A_FOLDER, *SERVED, *SERVED_FROM)


@contextmanager
def target(name: str, folder: Path) -> Iterator[Target]:
    """Yield the target called ``name``; its files are in ``folder``."""
    if name in SERVED:
        with SERVED[name]() as served:
            yield served
    elif name in SERVED_FROM:
        with SERVED_FROM[name](folder) as served:
            yield served
    else:
        yield IN_A_FOLDER[name](folder)
