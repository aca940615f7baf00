"""Where plans are kept, and what happens where they cannot be."""

from __future__ import annotations

import gc
import logging
from pathlib import Path

import pytest

from lsm_engines import EngineError
from lsm_engines.plans import PlanStore, default_plans_folder
from tests.unit.engines.plans import Builder, files, flip_a_bit, key_for, largest_file, obtain


def test_a_plan_that_does_not_fit_is_an_engine_error_and_leaves_nothing(tmp_path: Path) -> None:
    with (
        largest_file(1 << 20),
        pytest.raises(
            EngineError, match=r"needs more than 1048576 bytes, \d+ are free"
        ) as error,
    ):
        PlanStore(tmp_path).obtain(key_for(), lambda path: _write(path, bytes(1 << 21)))
    assert str(tmp_path) in str(error.value)
    assert "File too large" in str(error.value)
    assert files(tmp_path) == ["lock"]


def test_a_full_disk_is_an_engine_error_and_keeps_what_was_there(
    tmp_path: Path, plan: Path
) -> None:
    before = plan.read_bytes()
    # The kernel's device that is always full: a real ENOSPC.
    with pytest.raises(EngineError, match=r"No space left on device.*make room there, or set"):
        PlanStore(tmp_path).obtain(
            key_for(driver="560.2"), lambda _: _write(Path("/dev/full"), b"x")
        )
    assert plan.read_bytes() == before
    assert obtain(tmp_path, key_for())[1] == 0
    assert not plan.with_name("building").exists()


def test_a_library_that_cannot_be_loaded_is_an_engine_error(tmp_path: Path) -> None:
    def build(_: Path) -> None:
        msg = "libnvinfer.so.10: cannot open shared object file"
        raise OSError(msg)

    with pytest.raises(EngineError, match="libnvinfer"):
        PlanStore(tmp_path).obtain(key_for(), build)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def test_where_nothing_can_be_written_plans_live_as_long_as_the_store(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    not_a_folder = tmp_path / "file"
    not_a_folder.touch()
    store = PlanStore(not_a_folder / "plans")
    builder = Builder(key_for())
    plan = store.obtain(key_for(), builder)
    assert store.obtain(key_for(), builder) == plan
    store.obtain(key_for(precision="fp32"), builder)
    assert builder.builds == 2
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert f"{not_a_folder / 'plans'} cannot be written (Not a directory)" in warnings[0]
    assert "set XDG_CACHE_HOME, or CacheDirectory=" in warnings[0]
    del store
    gc.collect()
    assert not plan.exists()


def test_a_user_without_a_home_gets_a_temporary_folder(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def nobody(_: int) -> object:
        raise KeyError

    for name in ("HOME", "XDG_CACHE_HOME", "CACHE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    assert PlanStore().obtain(key_for(), Builder(key_for())).name == "plan"
    assert "there is no home folder" in caplog.text


def test_a_good_plan_is_found_where_nothing_can_be_written(
    tmp_path: Path, plan: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lock = plan.with_name("lock")
    lock.unlink()
    lock.mkdir()  # cannot be opened for writing, not even by root
    store, builder = PlanStore(tmp_path), Builder(key_for())
    elsewhere = store.obtain(key_for(), builder)
    assert (elsewhere, builder.builds, caplog.text) == (plan, 0, "")
    flip_a_bit(plan)
    assert store.obtain(key_for(), builder) != plan
    assert builder.builds == 1
    assert "is damaged (its SHA-256 is another), and" in caplog.text


def test_a_store_that_is_not_asked_touches_nothing(tmp_path: Path) -> None:
    PlanStore(tmp_path / "plans")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"CACHE_DIRECTORY": "/var/cache/a:/var/cache/b"}, "/var/cache/a/plans"),
        ({"CACHE_DIRECTORY": "", "XDG_CACHE_HOME": "/c"}, "/c/lsm-monitor/plans"),
        ({"XDG_CACHE_HOME": "relative"}, "/home/me/.cache/lsm-monitor/plans"),
        ({}, "/home/me/.cache/lsm-monitor/plans"),
    ],
    ids=["systemd", "xdg", "relative", "home"],
)
def test_plans_belong_into_the_cache(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], expected: str
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert default_plans_folder(environ) == Path(expected)
