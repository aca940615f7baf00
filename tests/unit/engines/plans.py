"""Plans for the tests of the store: small, and different for each key."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lsm_engines.plans import PlanKey, PlanStore

FIELDS = {
    "fingerprint": "c0ffee",
    "precision": "fp16",
    "max_batch": "8",
    "device": "cuda",
    "tensorrt": "10.9.0",
    "driver": "550.1",
    "gpu": "NVIDIA L4",
}


def key_for(**fields: str) -> PlanKey:
    return PlanKey("encoder", "tensorrt", FIELDS | fields)


class Builder:
    """Writes a plan that tells for which key it is, and counts."""

    def __init__(self, key: PlanKey) -> None:
        self.content = json.dumps(dict(key.fields)).encode()
        self.builds = 0

    def __call__(self, path: Path) -> None:
        self.builds += 1
        path.write_bytes(self.content)


def obtain(folder: Path, key: PlanKey) -> tuple[bytes, int]:
    """Return the content of the plan, and how often it was built for that."""
    builder = Builder(key)
    content = PlanStore(folder).obtain(key, builder).read_bytes()
    assert content == builder.content
    return content, builder.builds


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def flip_a_bit(plan: Path) -> None:
    content = bytearray(plan.read_bytes())
    content[7] ^= 1
    plan.write_bytes(content)


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond ``size_bytes``: as good as a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
