"""Evidence when the process is killed and when the disk is full."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from uuid import UUID

import pytest

from lsm_monitor.errors import StoreError
from lsm_monitor.evidence.sidecar import EvidenceKind
from lsm_monitor.evidence.store import EvidenceStore
from tests.integration.bad_disks import small_disk

pytestmark = pytest.mark.slow

CHILD = Path(__file__).with_name("evidence_child.py")
KILLS = 25


def test_a_kill_at_any_moment_leaves_no_half_evidence_and_loses_none_that_was_stored(
    tmp_path: Path,
) -> None:
    moments = random.Random(1)  # noqa: S311 - no secret
    pause = threading.Event()
    stored: dict[str, set[int]] = {}
    command = [sys.executable, str(CHILD), str(tmp_path)]
    with subprocess.Popen(  # noqa: S603 - our own script
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as zygote:
        assert zygote.stdin is not None
        assert zygote.stdout is not None
        for _ in range(KILLS):
            zygote.stdin.write(b"live\n")
            told = (line.decode().split() for line in iter(zygote.stdout.readline, b""))
            child, has_stored = 0, False
            while not child or not has_stored:  # in whatever order they come
                words = next(told)
                child = child or (int(words[0]) if len(words) == 1 else 0)
                has_stored |= _note(words, stored)
            pause.wait(moments.uniform(0.0, 0.05))
            os.kill(child, signal.SIGKILL)
            while (words := next(told)) != ["killed"]:
                _note(words, stored)
        zygote.stdin.close()
    assert sum(map(len, stored.values())) >= KILLS
    store = EvidenceStore(tmp_path)
    store.open()
    assert sum(len(store.listing(episode.event_id)) for episode in store.episodes) > KILLS
    for folder in (tmp_path / "evidence").iterdir():
        _check(store, folder)
    # One episode is removed as a whole now and then: all others are complete.
    there = {str(episode.event_id) for episode in store.episodes}
    for event_id, seqs in stored.items():
        if event_id in there and len(seqs) < 8:
            found = {file.seq for file in store.listing(UUID(event_id))}
            assert seqs <= found


def _note(words: list[str], stored: dict[str, set[int]]) -> bool:
    """Note that an event is stored, if that is what was told."""
    if len(words) == 2:
        stored.setdefault(words[0], set()).add(int(words[1]))
    return len(words) == 2


def _check(store: EvidenceStore, folder: Path) -> None:
    """Every file is named by a sidecar, has its hash, and every name is a file."""
    files = store.listing(UUID(folder.name))
    assert {file.name for file in files} == {path.name for path in folder.iterdir()}
    for file in files:
        data = (folder / file.name).read_bytes()
        assert len(data) == file.size_bytes
        if file.kind is EvidenceKind.SIDECAR:
            named = {entry["name"] for entry in json.loads(data)["files"]}
            assert named | {file.name} == {f.name for f in files if f.seq == file.seq}
        else:
            assert hashlib.sha256(data).hexdigest() == file.sha256


def test_a_disk_that_fills_up_in_the_middle_leaves_all_of_an_event_or_nothing(
    tmp_path: Path,
) -> None:
    event_id = UUID(int=7)
    files = {EvidenceKind.SNAPSHOT: bytes(5000), EvidenceKind.RAW: bytes(100)}
    outcomes = []
    try:
        with small_disk(tmp_path) as disk:
            store = EvidenceStore(tmp_path)
            store.open()
            disk.fill()
            full = (tmp_path / "filler").stat().st_size
            for pages in range(8):
                os.truncate(tmp_path / "filler", full - pages * 4096)
                problem = ""
                try:
                    store.put(event_id, pages + 1, files, {"missing": []})
                except StoreError as exc:
                    problem = str(exc)
                outcomes.append(not problem)
                if problem:
                    assert "make room" in problem
                    assert list((tmp_path / "evidence").rglob("*.*")) == []
                else:
                    _check(store, tmp_path / "evidence" / str(event_id))
                    store.remove(event_id)
            disk.make_writable(writable=False)
            with pytest.raises(StoreError, match="Read-only"):
                store.put(event_id, 9, files, {"missing": []})
    except PermissionError as exc:
        pytest.skip(f"needs the right to mount a tmpfs: {exc}")
    assert outcomes == sorted(outcomes)
    assert outcomes[:3] == [False, False, False]
    assert outcomes[-1]
