from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsm_engines import EngineError
from lsm_engines.manifest import find_fault
from lsm_engines.plans import PlanKey, PlanStore
from tests.unit.engines.plans import Builder, files, flip_a_bit, key_for, obtain


def test_a_plan_is_built_once(tmp_path: Path) -> None:
    assert obtain(tmp_path, key_for())[1] == 1
    assert obtain(tmp_path, key_for())[1] == 0
    assert files(tmp_path) == ["lock", "manifest.json", "plan"]


@pytest.mark.parametrize("name", ["fingerprint", "precision", "max_batch", "device", "threads"])
def test_plans_of_other_models_or_settings_stand_side_by_side(
    tmp_path: Path, plan: Path, name: str
) -> None:
    before = plan.read_bytes()
    assert obtain(tmp_path, key_for(**{name: "another"}))[1] == 1
    assert plan.read_bytes() == before
    assert obtain(tmp_path, key_for())[1] == 0


@pytest.mark.usefixtures("plan")
@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {"driver": "560.2"},
            "was built for driver 550.1, this machine has 560.2: it is built",
        ),
        (
            {"gpu": "NVIDIA L40", "tensorrt": "10.10"},
            "was built for gpu NVIDIA L4, tensorrt 10.9.0, this machine has NVIDIA L40, 10.10:",
        ),
        ({"cuda": "12.4"}, "was built for cuda (not named), this machine has 12.4:"),
    ],
)
def test_a_plan_of_another_machine_is_named_and_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fields: dict[str, str], told: str
) -> None:
    assert obtain(tmp_path, key_for(**fields))[1] == 1
    assert f"plan {key_for().name} {told}" in caplog.text
    assert obtain(tmp_path, key_for(**fields))[1] == 0
    assert len(list(tmp_path.iterdir())) == 1


@pytest.fixture(scope="module")
def good_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plans")
    obtain(folder, key_for())
    return folder


def edit_manifest(plan: Path, edit: Callable[[dict[str, object]], object]) -> None:
    path = plan.with_name("manifest.json")
    manifest = json.loads(path.read_text())
    edit(manifest)
    path.write_text(json.dumps(manifest))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        pytest.param(flip_a_bit, "is damaged (its SHA-256 is another)", id="bit"),
        pytest.param(cut, "is damaged (it has 123 bytes, not 143)", id="short"),
        pytest.param(Path.unlink, "has lost its file", id="gone"),
        pytest.param(
            lambda plan: plan.with_name("manifest.json").unlink(), "has no manifest", id="bare"
        ),
        pytest.param(
            lambda plan: cut(plan.with_name("manifest.json")),
            "has a damaged manifest",
            id="cut",
        ),
        pytest.param(
            lambda plan: plan.with_name("manifest.json").write_bytes(b"[" * 100_000),
            "has a damaged manifest",
            id="deep",
        ),
        pytest.param(
            lambda plan: plan.with_name("manifest.json").write_bytes(b"[]"),
            "has a damaged manifest",
            id="list",
        ),
        pytest.param(
            lambda plan: edit_manifest(plan, lambda m: m.update(made_for="driver")),
            "has a damaged manifest",
            id="text",
        ),
        pytest.param(
            lambda plan: edit_manifest(plan, lambda m: m.pop("sha256")),
            "has a damaged manifest",
            id="no-hash",
        ),
        pytest.param(
            lambda plan: edit_manifest(plan, lambda m: m.update(format=2)),
            "has a manifest of format 2, this release knows 1",
            id="format",
        ),
        pytest.param(
            lambda plan: edit_manifest(
                plan, lambda m: m.update(made_for=key_for(driver="1").made_for)
            ),
            "was built for driver 1, this machine has 550.1",
            id="driver",
        ),
        pytest.param(
            lambda plan: edit_manifest(
                plan, lambda m: m.update(made_for=key_for().made_for | {"lsm-monitor": "0.0.1"})
            ),
            "was built for lsm-monitor 0.0.1, this machine has ",
            id="release",
        ),
    ],
)
def test_a_plan_that_is_not_as_it_was_is_named_and_built_anew(
    tmp_path: Path,
    plan: Path,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], object],
    told: str,
) -> None:
    damage(plan)
    assert obtain(tmp_path, key_for())[1] == 1
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"plan {key_for().name} {told}")
    assert obtain(tmp_path, key_for())[1] == 0


@pytest.mark.parametrize("name", ["plan", "manifest.json"])
def test_no_changed_byte_makes_another_file_a_good_plan(plan: Path, name: str) -> None:
    good, path, made_for = plan.read_bytes(), plan.with_name(name), key_for().made_for
    content = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        for position, byte in enumerate(content):
            for other in {byte ^ 1, byte ^ 0x20, 0x20, 0x30} - {byte}:
                os.pwrite(file.fileno(), bytes([other]), position)
                fault = find_fault(plan.parent, made_for)
                assert fault is not None or plan.read_bytes() == good
            os.pwrite(file.fileno(), bytes([byte]), position)


# 25, because each example waits for the disk four times.
@settings(max_examples=25, deadline=None)
@given(data=st.data(), name=st.sampled_from(["plan", "manifest.json"]))
def test_whatever_byte_changes_only_what_a_build_gives_is_returned(
    good_store: Path, data: st.DataObject, name: str
) -> None:
    path = good_store / key_for().name / name
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    obtain(good_store, key_for())  # compares with what a build gives


def test_a_build_that_fails_leaves_nothing_and_says_why(tmp_path: Path) -> None:
    def build(path: Path) -> None:
        path.write_bytes(b"half")
        msg = "operator not supported"
        raise EngineError(msg)

    with pytest.raises(EngineError, match="operator not supported"):
        PlanStore(tmp_path).obtain(key_for(), build)
    assert files(tmp_path) == ["lock"]
    assert obtain(tmp_path, key_for())[1] == 1


def test_what_a_dead_builder_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / key_for().name / "building"
    left.mkdir(parents=True)
    (left / "plan").write_bytes(b"half")
    (left / "plan.data").write_bytes(b"half")
    obtain(tmp_path, key_for())
    assert files(tmp_path) == ["lock", "manifest.json", "plan"]
    assert not left.exists()


@pytest.mark.parametrize("names", [[], ["plan", "plan.data"]], ids=["none", "two"])
def test_a_plan_is_exactly_one_file(tmp_path: Path, names: list[str]) -> None:
    def build(path: Path) -> None:
        for name in names:
            path.with_name(name).write_bytes(b"x")

    with pytest.raises(EngineError, match="a plan must be one file, 'plan'; the backend wrote"):
        PlanStore(tmp_path).obtain(key_for(), build)
    assert files(tmp_path) == ["lock"]


@pytest.mark.parametrize("name", ["..", "../up", "a/b", "/etc", "", "a\0b", "a b", "x\n"])
def test_a_name_that_could_leave_the_folder_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be a part of a folder's name"):
        PlanKey(name, "torch", {})
    with pytest.raises(ValueError, match="cannot be a part of a folder's name"):
        PlanKey("encoder", name, {})


def test_fields_cannot_leave_the_folder(tmp_path: Path) -> None:
    key = key_for(fingerprint="../../up", device="/etc/passwd")
    plan = PlanStore(tmp_path).obtain(key, Builder(key))
    assert plan.resolve().parent.parent == tmp_path.resolve()


def test_progress_is_told_at_once_and_then_until_the_plan_is_built(tmp_path: Path) -> None:
    told: list[str] = []
    thrice = threading.Event()

    def on_progress(text: str) -> None:
        told.append(text)
        if len(told) == 3:
            thrice.set()

    def build(path: Path) -> None:
        assert told == [f"building plan {key_for().name}"]
        assert thrice.wait(30.0)
        path.write_bytes(b"x")

    store = PlanStore(tmp_path, on_progress, progress_every_s=0.01)
    store.obtain(key_for(), build)
    assert told[2].startswith(f"building plan {key_for().name}, 0 s")
    assert "plan-progress" not in {thread.name for thread in threading.enumerate()}
    told.clear()
    store.obtain(key_for(), build)
    assert told == []


def test_waiting_for_another_builder_ends_with_a_way_out(tmp_path: Path) -> None:
    folder = tmp_path / key_for().name
    folder.mkdir()
    told: list[str] = []
    store = PlanStore(tmp_path, told.append, lock_timeout_s=0.0)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(EngineError, match=r"another process has been building .* for 0 s;"):
            store.obtain(key_for(), Builder(key_for()))
    assert told == [f"another process builds plan {key_for().name}: waiting for it"]
    assert obtain(tmp_path, key_for())[1] == 1
