from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsm_monitor.errors import StoreError
from lsm_monitor.evidence.sidecar import EvidenceKind
from lsm_monitor.evidence.store import EvidenceStore

FLOOD = UUID("019816a2-7c1e-7b60-9f0e-2b1f6a1d9c55")
OTHER = UUID("019816a2-7c1e-7b60-9f0e-2b1f6a1d9c56")
SNAPSHOT, RAW, CLIP = EvidenceKind.SNAPSHOT, EvidenceKind.RAW, EvidenceKind.CLIP
ABOUT: dict[str, Any] = {"event": {"seq": 1}, "missing": [{"kind": "clip", "reason": "later"}]}


@pytest.fixture
def store(tmp_path: Path) -> EvidenceStore:
    store = EvidenceStore(tmp_path)
    store.open()
    return store


def sidecar_of(store: EvidenceStore, event_id: UUID = FLOOD, seq: int = 1) -> dict[str, Any]:
    path = store.path_of(event_id, f"{seq}.json")
    assert path is not None
    content: dict[str, Any] = json.loads(path.read_bytes())
    return content


def names_of(store: EvidenceStore, event_id: UUID = FLOOD) -> list[str]:
    return [file.name for file in store.listing(event_id)]


def test_what_is_stored_is_listed_found_and_hashed(store: EvidenceStore) -> None:
    store.put(FLOOD, 2, {SNAPSHOT: b"two"}, ABOUT)
    store.put(FLOOD, 1, {SNAPSHOT: b"one", RAW: b"raw one"}, ABOUT)
    assert names_of(store) == ["1.jpg", "1.raw.jpg", "1.json", "2.jpg", "2.json"]
    raw = store.listing(FLOOD)[1]
    assert (raw.seq, raw.kind, raw.size_bytes) == (1, RAW, 7)
    assert raw.sha256 == hashlib.sha256(b"raw one").hexdigest()
    path = store.path_of(FLOOD, raw.name)
    assert path is not None
    assert path.read_bytes() == b"raw one"
    assert sidecar_of(store)["event"] == {"seq": 1}
    assert store.listing(OTHER) == []


def test_what_comes_later_is_missing_until_it_is_there(store: EvidenceStore) -> None:
    store.put(FLOOD, 1, {SNAPSHOT: b"one"}, ABOUT)
    assert sidecar_of(store)["missing"] == ABOUT["missing"]
    store.add(FLOOD, 1, CLIP, b"video", {"seconds": 20.0})
    assert sidecar_of(store)["missing"] == []
    assert sidecar_of(store)["files"][-1]["seconds"] == 20.0
    assert names_of(store) == ["1.jpg", "1.mp4", "1.json"]


def test_what_never_comes_is_missing_with_its_reason(store: EvidenceStore) -> None:
    store.put(FLOOD, 1, {SNAPSHOT: b"one"}, ABOUT)
    store.note_missing(FLOOD, 1, CLIP, "the camera was on patrol")
    reasons = [{"kind": "clip", "reason": "the camera was on patrol"}]
    assert sidecar_of(store)["missing"] == reasons


def test_a_file_that_is_not_as_its_sidecar_says_does_not_count(
    tmp_path: Path, store: EvidenceStore
) -> None:
    store.put(FLOOD, 1, {SNAPSHOT: b"one", RAW: b"raw"}, ABOUT)
    (tmp_path / "evidence" / str(FLOOD) / "1.jpg").write_bytes(b"on")
    assert names_of(store) == ["1.raw.jpg", "1.json"]


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"schema": "lsm.evidence/1", "missing": [{}], "files": [7]}',
    ],
)
def test_a_damaged_sidecar_hides_its_files_and_none_of_them_is_removed(
    tmp_path: Path, store: EvidenceStore, garbage: bytes
) -> None:
    store.put(FLOOD, 1, {SNAPSHOT: b"one"}, ABOUT)
    folder = tmp_path / "evidence" / str(FLOOD)
    (folder / "1.json").write_bytes(garbage)
    assert names_of(store) == []
    with pytest.raises(StoreError, match="damaged"):
        store.add(FLOOD, 1, CLIP, b"video", {})
    again = EvidenceStore(tmp_path)
    again.open()
    assert {path.name for path in folder.iterdir()} == {"1.jpg", "1.json"}
    assert again.size_bytes == 3 + len(garbage)


def test_a_sidecar_that_the_disk_does_not_show_costs_no_file(
    tmp_path: Path, store: EvidenceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(FLOOD, 1, {SNAPSHOT: b"one"}, ABOUT)
    store.put(FLOOD, 2, {SNAPSHOT: b"two"}, ABOUT)
    real = Path.read_bytes

    def read(path: Path) -> bytes:
        if path.name == "1.json":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", read)
        again = EvidenceStore(tmp_path)
        again.open()
        assert names_of(again) == ["2.jpg", "2.json"]
    assert again.size_bytes == store.size_bytes
    assert names_of(again) == ["1.jpg", "1.json", "2.jpg", "2.json"]


def test_a_sidecar_of_a_newer_version_keeps_its_files(
    tmp_path: Path, store: EvidenceStore
) -> None:
    store.put(FLOOD, 1, {SNAPSHOT: b"one"}, ABOUT)
    folder = tmp_path / "evidence" / str(FLOOD)
    newer = (folder / "1.json").read_text().replace("evidence/1", "evidence/2")
    (folder / "1.json").write_text(newer)
    (folder / "1.later.avif").write_bytes(b"of a kind that we do not know")
    EvidenceStore(tmp_path).open()
    assert {path.name for path in folder.iterdir()} == {"1.jpg", "1.json", "1.later.avif"}


def test_a_file_that_somebody_has_removed_costs_no_other(
    tmp_path: Path, store: EvidenceStore
) -> None:
    store.put(FLOOD, 1, {SNAPSHOT: b"one", RAW: b"raw"}, ABOUT)
    store.add(FLOOD, 1, CLIP, b"video", {})
    folder = tmp_path / "evidence" / str(FLOOD)
    (folder / "1.jpg").unlink()
    assert names_of(store) == ["1.raw.jpg", "1.mp4", "1.json"]
    for _ in range(2):
        EvidenceStore(tmp_path).open()
    assert names_of(store) == ["1.raw.jpg", "1.mp4", "1.json"]


def test_a_start_keeps_a_file_of_another_size_that_is_named_and_removes_one_that_is_not(
    tmp_path: Path, store: EvidenceStore
) -> None:
    store.put(FLOOD, 1, {SNAPSHOT: b"one"}, ABOUT)
    folder = tmp_path / "evidence" / str(FLOOD)
    (folder / "1.jpg").write_bytes(b"o")
    (folder / "1.mp4").write_bytes(b"a kill came before the sidecar was written anew")
    EvidenceStore(tmp_path).open()
    assert {path.name for path in folder.iterdir()} == {"1.jpg", "1.json"}


def refusing(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let nobody remove files of these names."""
    real = Path.unlink

    def unlink(path: Path, *, missing_ok: bool = False) -> None:
        if path.name in names:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        real(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)


def test_leftovers_that_cannot_be_removed_are_told_and_all_the_rest_is_tidied_and_counted(
    tmp_path: Path, store: EvidenceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    event_ids = [UUID(int=number) for number in range(1, 9)]
    for event_id in event_ids:
        store.put(event_id, 1, {SNAPSHOT: b"one"}, ABOUT)
        for name in (".2.jpg.part", "2.raw.jpg", "3.raw.jpg"):
            (tmp_path / "evidence" / str(event_id) / name).write_bytes(b"left")
    refusing(monkeypatch, "2.raw.jpg")
    again = EvidenceStore(tmp_path)
    with pytest.raises(StoreError, match=r"2\.raw\.jpg: cannot be used \(Operation not perm"):
        again.open()
    assert {episode.event_id for episode in again.episodes} == set(event_ids)
    kept = {path.name for path in (tmp_path / "evidence").rglob("*.*")}
    assert kept == {"1.jpg", "1.json", "2.raw.jpg"}
    assert again.size_bytes == store.size_bytes + len(event_ids) * len(b"left")


def test_leftovers_of_a_crash_are_gone_after_the_start_and_the_rest_is_not(
    tmp_path: Path, store: EvidenceStore
) -> None:
    store.put(FLOOD, 1, {SNAPSHOT: b"one"}, ABOUT)
    folder = tmp_path / "evidence"
    (folder / str(FLOOD) / ".2.jpg.part").write_bytes(b"tw")
    (folder / str(FLOOD) / "2.jpg").write_bytes(b"two")
    (folder / f".gone-{OTHER}").mkdir()
    (folder / f".gone-{OTHER}" / "1.jpg").write_bytes(b"gone")
    (folder / "notes-of-somebody").mkdir()
    again = EvidenceStore(tmp_path)
    again.open()
    assert sorted(path.name for path in folder.iterdir()) == [str(FLOOD), "notes-of-somebody"]
    assert names_of(again) == ["1.jpg", "1.json"]
    assert [episode.event_id for episode in again.episodes] == [FLOOD]


def test_an_event_told_anew_under_its_number_replaces_what_was_there(
    store: EvidenceStore,
) -> None:
    store.put(FLOOD, 1, {SNAPSHOT: b"before", CLIP: b"old video"}, ABOUT)
    store.put(FLOOD, 1, {SNAPSHOT: b"after"}, ABOUT)
    assert names_of(store) == ["1.jpg", "1.json"]
    path = store.path_of(FLOOD, "1.jpg")
    assert path is not None
    assert path.read_bytes() == b"after"
    assert store.path_of(FLOOD, "1.mp4") is None


def test_sizes_are_counted_and_a_removed_episode_is_gone(
    tmp_path: Path, store: EvidenceStore
) -> None:
    store.put(FLOOD, 1, {SNAPSHOT: bytes(1000)}, ABOUT)
    store.put(OTHER, 1, {SNAPSHOT: bytes(500)}, ABOUT)
    files = [path for path in (tmp_path / "evidence").rglob("*") if path.is_file()]
    assert store.size_bytes == sum(path.stat().st_size for path in files)
    (flood,) = (episode for episode in store.episodes if episode.event_id == FLOOD)
    assert abs(flood.newest_at - datetime.now(UTC)) < timedelta(minutes=1)
    store.remove(FLOOD)
    assert [episode.event_id for episode in store.episodes] == [OTHER]
    assert list((tmp_path / "evidence").iterdir()) == [tmp_path / "evidence" / str(OTHER)]


def test_an_episode_that_somebody_else_has_removed_is_no_obstacle(
    tmp_path: Path, store: EvidenceStore
) -> None:
    store.put(FLOOD, 1, {SNAPSHOT: b"one"}, ABOUT)
    store.put(OTHER, 1, {SNAPSHOT: b"one"}, ABOUT)
    shutil.rmtree(tmp_path / "evidence" / str(FLOOD))
    (tmp_path / "evidence" / f".gone-{OTHER}").mkdir()
    (tmp_path / "evidence" / f".gone-{OTHER}" / "1.jpg").write_bytes(b"half removed before")
    store.remove(FLOOD)
    store.remove(OTHER)
    assert (store.episodes, list((tmp_path / "evidence").iterdir())) == ([], [])


def test_room_is_left_for_the_outbox(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path, reserve_bytes=2**60)
    with pytest.raises(StoreError, match="make room"):
        store.put(FLOOD, 1, {SNAPSHOT: b"one"}, ABOUT)
    assert store.listing(FLOOD) == []


def test_a_folder_that_cannot_be_made_is_told_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "evidence").write_bytes(b"in the way")
    store = EvidenceStore(tmp_path)
    with pytest.raises(StoreError, match=r"evidence: cannot be used \(File exists\)"):
        store.open()
    with pytest.raises(StoreError, match="File exists"):
        store.put(FLOOD, 1, {SNAPSHOT: b"one"}, ABOUT)


@given(name=st.one_of(st.text(), st.from_regex(r"(\.\./|/)*[0-9]+\.(jpg|json|mp4)\n?")))
def test_no_name_leads_out_of_the_folder(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "names"
    episode = folder / "evidence" / str(FLOOD)
    episode.mkdir(parents=True, exist_ok=True)
    for path in (folder / "1.jpg", folder / "evidence" / "1.jpg", episode / "1.jpg"):
        path.write_bytes(b"x")
    found = EvidenceStore(folder).path_of(FLOOD, name)
    assert found is None or (found.parent == episode and found.name == name)


def test_links_are_not_followed(tmp_path: Path, store: EvidenceStore) -> None:
    store.put(FLOOD, 1, {SNAPSHOT: b"one"}, ABOUT)
    folder = tmp_path / "evidence" / str(FLOOD)
    (tmp_path / "secret").write_bytes(b"secret")
    (folder / "1.raw.jpg").symlink_to(tmp_path / "secret")
    (tmp_path / "evidence" / str(OTHER)).symlink_to(folder)
    assert store.path_of(FLOOD, "1.jpg") is not None
    assert store.path_of(FLOOD, "1.raw.jpg") is None
    assert store.path_of(OTHER, "1.jpg") is None
