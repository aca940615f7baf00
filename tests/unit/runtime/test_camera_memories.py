from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from lsm_monitor.capture.camera_memory import CameraMemory
from lsm_monitor.capture.quality import QualityCheck, QualityRules
from lsm_monitor.errors import StoreError
from lsm_monitor.runtime.camera_memories import FOLDER, CameraMemories
from lsm_monitor.types import CameraId

BRIDGE, QUAY = CameraId("bridge"), CameraId("quay")
AIM = "the street"
NOTHING = CameraMemory().to_bytes()


def learnt() -> bytes:
    check = QualityCheck(QualityRules())
    rng = np.random.default_rng(3)
    picture = rng.integers(0, 256, (26, 46, 3), dtype=np.uint8).repeat(7, 0).repeat(7, 1)
    check.assess(picture, 0.0)
    return check.memory().to_bytes()


def test_what_was_saved_is_there_after_a_restart(tmp_path: Path) -> None:
    CameraMemories(tmp_path).save(BRIDGE, AIM, learnt())
    memories = CameraMemories(tmp_path)
    assert memories.load(BRIDGE, AIM) == learnt() != NOTHING
    assert memories.load(QUAY, AIM) is None


def test_what_was_learnt_for_other_zones_or_another_address_is_learnt_anew(
    tmp_path: Path,
) -> None:
    memories = CameraMemories(tmp_path)
    memories.save(BRIDGE, "another street", learnt())
    memories.save(QUAY, AIM, learnt())
    assert (memories.load(BRIDGE, AIM), memories.load(QUAY, AIM)) == (None, learnt())
    assert memories.load(BRIDGE, "another street") is None  # not even when it is drawn back


def test_a_camera_that_is_forgotten_has_nothing_and_the_others_keep_theirs(
    tmp_path: Path,
) -> None:
    memories = CameraMemories(tmp_path)
    memories.save(BRIDGE, AIM, learnt())
    memories.save(QUAY, AIM, NOTHING)
    memories.forget(BRIDGE)
    memories.forget(CameraId("never-seen"))
    assert (memories.load(BRIDGE, AIM), memories.load(QUAY, AIM)) == (None, NOTHING)


def test_cameras_that_are_gone_leave_nothing_behind(tmp_path: Path) -> None:
    memories = CameraMemories(tmp_path)
    memories.save(BRIDGE, AIM, NOTHING)
    memories.save(QUAY, AIM, NOTHING)
    (tmp_path / FOLDER / "quay.new").write_bytes(b"half")
    memories.keep_only([BRIDGE])
    assert [path.stem for path in (tmp_path / FOLDER).iterdir()] == ["bridge"]


@pytest.mark.parametrize("content", [b"", b"something else", learnt()[:-1], b"\0" * 4096])
def test_what_is_damaged_is_reported_removed_and_learnt_anew(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    memories = CameraMemories(tmp_path)
    memories.save(BRIDGE, AIM, content)
    assert memories.load(BRIDGE, AIM) is None
    assert "camera 'bridge'" in caplog.text
    assert not list((tmp_path / FOLDER).iterdir())


def test_a_folder_that_cannot_be_made_is_one_warning_and_is_made_when_it_can(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FOLDER).write_bytes(b"a file is in the way")
    memories = CameraMemories(tmp_path)
    memories.keep_only([BRIDGE])
    assert len(caplog.messages) == 1
    assert f"{tmp_path / FOLDER}: cannot be used (File exists)" in caplog.text
    with pytest.raises(StoreError, match="cannot be used"):
        memories.load(BRIDGE, AIM)
    with pytest.raises(StoreError, match="cannot be used"):
        memories.save(BRIDGE, AIM, NOTHING)
    (tmp_path / FOLDER).unlink()
    memories.save(BRIDGE, AIM, NOTHING)
    assert memories.load(BRIDGE, AIM) == NOTHING


def test_a_disk_that_is_read_only_keeps_what_is_gone_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    memories = CameraMemories(tmp_path)
    for name in ("bridge", "quay", "lock"):
        memories.save(CameraId(name), AIM, NOTHING)

    def refuse(_self: Path, *, missing_ok: bool = False) -> None:  # noqa: ARG001 - of Path
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        memories.keep_only([BRIDGE])
    (told,) = caplog.messages
    assert "cannot be used (Read-only file system)" in told
    assert "and 1 more like it" in told
    assert memories.load(BRIDGE, AIM) == NOTHING


def test_one_thing_that_cannot_be_removed_keeps_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    memories = CameraMemories(tmp_path)
    folder = tmp_path / FOLDER
    names = [f"{number}.new" for number in range(6)]
    for name in names:  # whatever the order in which they are listed
        (folder / name).write_bytes(b"half")
    (folder / "of-somebody").mkdir()
    memories.keep_only([BRIDGE])
    assert [path.name for path in folder.iterdir()] == ["of-somebody"]
    assert f"{folder / 'of-somebody'}: cannot be used" in caplog.text
    assert "more like it" not in caplog.text


def test_what_cannot_be_written_is_an_error_and_the_old_stays(tmp_path: Path) -> None:
    memories = CameraMemories(tmp_path)
    memories.save(BRIDGE, AIM, NOTHING)
    (tmp_path / FOLDER / "bridge.new").mkdir()
    with pytest.raises(StoreError, match="cannot be used"):
        memories.save(BRIDGE, AIM, learnt())
    assert memories.load(BRIDGE, AIM) == NOTHING
