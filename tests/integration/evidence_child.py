"""Stores evidence without end, and tells after each event that it is stored.

For each line on stdin a new process is forked, so that a kill costs no start of Python.
"""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path
from uuid import UUID

from lsm_monitor.evidence.sidecar import NOT_YET, EvidenceKind
from lsm_monitor.evidence.store import EvidenceStore

KINDS = (EvidenceKind.SNAPSHOT, EvidenceKind.RAW, EvidenceKind.MASK)
EPISODES = 5


def content(seq: int, kind: EvidenceKind) -> bytes:
    return f"{seq} {kind} ".encode() * 5000


def live(store: EvidenceStore, life: int) -> None:
    for seq in itertools.count(1):
        event_id = UUID(int=life * EPISODES + seq % EPISODES)
        missing = [{"kind": EvidenceKind.CLIP.value, "reason": NOT_YET}]
        files = {kind: content(seq, kind) for kind in KINDS}
        store.put(event_id, seq, files, {"missing": missing})
        store.add(event_id, seq, EvidenceKind.CLIP, content(seq, EvidenceKind.CLIP), {})
        os.write(1, f"{event_id} {seq}\n".encode())
        if seq % 40 == 0:
            store.remove(event_id)


def main() -> None:
    for life, _ in enumerate(sys.stdin):
        child = os.fork()
        if child == 0:
            store = EvidenceStore(Path(sys.argv[1]))
            store.open()
            live(store, life)
        os.write(1, f"{child}\n".encode())
        os.waitpid(child, 0)
        os.write(1, b"killed\n")


if __name__ == "__main__":
    main()
