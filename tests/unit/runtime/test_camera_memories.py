from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lsm_monitor.capture.camera_memory import CameraMemory
from lsm_monitor.capture.quality import QualityCheck, QualityRules
from lsm_monitor.errors import StoreError
from lsm_monitor.runtime.camera_memories import FOLDER, CameraMemories
from lsm_monitor.types import CameraId

BRIDGE, QUAY = CameraId("bridge"), CameraId("quay")
NOTHING = CameraMemory().to_bytes()


def learnt() -> bytes:
    check = QualityCheck(QualityRules())
    rng = np.random.default_rng(3)
    picture = rng.integers(0, 256, (26, 46, 3), dtype=np.uint8).repeat(7, 0).repeat(7, 1)
    check.assess(picture, 0.0)
    return check.memory().to_bytes()


def test_what_was_saved_is_there_after_a_restart(tmp_path: Path) -> None:
    CameraMemories(tmp_path).save(BRIDGE, learnt())
    memories = CameraMemories(tmp_path)
    assert memories.load(BRIDGE) == learnt() != NOTHING
    assert memories.load(QUAY) is None


def test_a_camera_that_is_forgotten_has_nothing_and_the_others_keep_theirs(
    tmp_path: Path,
) -> None:
    memories = CameraMemories(tmp_path)
    memories.save(BRIDGE, learnt())
    memories.save(QUAY, NOTHING)
    memories.forget(BRIDGE)
    memories.forget(CameraId("never-seen"))
    assert (memories.load(BRIDGE), memories.load(QUAY)) == (None, NOTHING)


def test_cameras_that_are_gone_leave_nothing_behind(tmp_path: Path) -> None:
    memories = CameraMemories(tmp_path)
    memories.save(BRIDGE, NOTHING)
    memories.save(QUAY, NOTHING)
    (tmp_path / FOLDER / "quay.new").write_bytes(b"half")
    memories.keep_only([BRIDGE])
    assert [path.stem for path in (tmp_path / FOLDER).iterdir()] == ["bridge"]


@pytest.mark.parametrize("content", [b"", b"something else", learnt()[:-1], b"\0" * 4096])
def test_what_is_damaged_is_reported_removed_and_learnt_anew(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    memories = CameraMemories(tmp_path)
    memories.save(BRIDGE, content)
    assert memories.load(BRIDGE) is None
    assert "camera 'bridge'" in caplog.text
    assert not list((tmp_path / FOLDER).iterdir())


def test_a_folder_that_cannot_be_used_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_bytes(b"a file is in the way")
    with pytest.raises(StoreError, match=f"{FOLDER}: cannot be used"):
        CameraMemories(tmp_path)


def test_what_cannot_be_written_is_an_error_and_the_old_stays(tmp_path: Path) -> None:
    memories = CameraMemories(tmp_path)
    memories.save(BRIDGE, NOTHING)
    (tmp_path / FOLDER / "bridge.new").mkdir()
    with pytest.raises(StoreError, match="cannot be used"):
        memories.save(BRIDGE, learnt())
    assert memories.load(BRIDGE) == NOTHING
