from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as options
from hypothesis import strategies as st

from lsm_monitor.errors import StoreError
from lsm_monitor.publish.commands import SetContext, SetEnabled, SetMode, SetProfile
from lsm_monitor.runtime.overrides import CameraOverride, RuntimeOverrides, Setting
from lsm_monitor.types import CameraId

NOW = datetime(2026, 7, 18, 6, 0, tzinfo=UTC)
BRIDGE, TUNNEL = CameraId("bridge"), CameraId("tunnel")


def open_in(folder: Path) -> RuntimeOverrides:
    return RuntimeOverrides.open(folder / "runtime.json", now=NOW)


def test_what_was_set_holds_after_a_restart_and_can_be_taken_back(tmp_path: Path) -> None:
    overrides = open_in(tmp_path)
    overrides.apply(SetEnabled(BRIDGE, enabled=False), now=NOW)
    overrides.apply(SetMode(BRIDGE, "patrol"), now=NOW)
    overrides.apply(SetProfile(TUNNEL, "storm"), now=NOW)
    again = open_in(tmp_path)
    assert again.camera(BRIDGE) == CameraOverride(enabled=False, mode="patrol")
    assert again.camera(TUNNEL) == CameraOverride(profile="storm")
    again.apply(SetMode(BRIDGE, None), now=NOW)
    again.apply(SetProfile(TUNNEL, None), now=NOW)
    assert json.loads((tmp_path / "runtime.json").read_bytes()) == {
        "version": 1,
        "cameras": {"bridge": {"enabled": False}},
        "contexts": {},
    }


def test_a_context_ends_when_it_is_said_to_or_by_itself(tmp_path: Path) -> None:
    overrides = open_in(tmp_path)
    overrides.apply(SetContext("rain", active=True, for_s=3600.0), now=NOW)
    overrides.apply(SetContext("storm", active=True, for_s=None), now=NOW)
    again = open_in(tmp_path)
    end = NOW + timedelta(hours=1)
    assert again.next_end(NOW) == end
    assert again.active_contexts(end - timedelta(seconds=1)) == {"rain", "storm"}
    assert again.active_contexts(end) == {"storm"}
    assert again.next_end(end) is None
    again.apply(SetContext("storm", active=False, for_s=None), now=NOW)
    assert open_in(tmp_path).active_contexts(end) == set()


def test_what_is_no_longer_configured_is_forgotten(tmp_path: Path) -> None:
    overrides = open_in(tmp_path)
    for camera_id in (BRIDGE, TUNNEL):
        overrides.apply(SetEnabled(camera_id, enabled=False), now=NOW)
    overrides.apply(SetContext("rain", active=True, for_s=None), now=NOW)
    overrides.keep_only({TUNNEL}, set(), {"storm"})
    again = open_in(tmp_path)
    assert again.camera(BRIDGE) == CameraOverride()
    assert again.camera(TUNNEL) == CameraOverride(enabled=False)
    assert again.active_contexts(NOW) == set()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b"null",
        b"[]",
        b'{"version":2}',
        b'{"cameras":{"bridge":{"mode":"fast"}}}',
        b'{"cameras":{"bridge":{"enable":true}}}',
        b'{"contexts":{"rain":{"until":"2026-07-18T06:00:00"}}}',
    ],
)
def test_a_damaged_file_is_set_aside_and_reported_and_sets_nothing(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "runtime.json").write_bytes(content)
    overrides = open_in(tmp_path)
    assert overrides.camera(BRIDGE) == CameraOverride()
    if content != b"null":
        assert "runtime.json: damaged" in caplog.text
        assert (tmp_path / "runtime.json.corrupt-20260718T060000Z").read_bytes() == content
    overrides.apply(SetEnabled(BRIDGE, enabled=False), now=NOW)
    assert open_in(tmp_path).camera(BRIDGE).enabled is False


def test_a_profile_that_is_gone_is_forgotten_and_the_rest_of_the_camera_is_not(
    tmp_path: Path,
) -> None:
    overrides = open_in(tmp_path)
    overrides.apply(SetProfile(BRIDGE, "storm"), now=NOW)
    overrides.apply(SetMode(BRIDGE, "patrol"), now=NOW)
    overrides.apply(SetProfile(TUNNEL, "storm"), now=NOW)
    overrides.keep_only({BRIDGE, TUNNEL}, set(), set())
    again = open_in(tmp_path)
    assert again.camera(BRIDGE) == CameraOverride(mode="patrol")
    assert again.camera(TUNNEL) == CameraOverride()


def test_what_the_disk_refuses_is_not_set(tmp_path: Path) -> None:
    overrides = open_in(tmp_path)
    (tmp_path / "runtime.json.new").mkdir()
    with pytest.raises(StoreError, match=r"runtime\.json: cannot be written"):
        overrides.apply(SetEnabled(BRIDGE, enabled=False), now=NOW)
    assert overrides.camera(BRIDGE) == CameraOverride()


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "runtime.json").mkdir()
    with pytest.raises(StoreError, match=r"runtime\.json: cannot be read"):
        open_in(tmp_path)


cameras = st.sampled_from([BRIDGE, TUNNEL])
contexts = st.sampled_from(["rain", "storm"])
settings = st.one_of(
    st.builds(SetEnabled, cameras, st.sampled_from([None, True, False])),
    st.builds(SetMode, cameras, st.sampled_from([None, "patrol", "triggered"])),
    st.builds(SetProfile, cameras, st.sampled_from([None, "storm"])),
    st.builds(SetContext, contexts, st.booleans(), st.none() | st.floats(1.0, 1e5)),
)


@options(deadline=None, max_examples=40)  # each step waits for the disk
@given(steps=st.lists(settings, max_size=12))
def test_the_newest_setting_of_each_thing_holds_after_any_story(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Setting]
) -> None:
    folder = tmp_path_factory.mktemp("state")
    overrides = open_in(folder)
    for step in steps:
        overrides.apply(step, now=NOW)
    again = open_in(folder)
    for camera_id in (BRIDGE, TUNNEL):
        expected = CameraOverride()
        for step in steps:
            match step:
                case SetEnabled(name, enabled) if name == camera_id:
                    expected = expected.model_copy(update={"enabled": enabled})
                case SetMode(name, mode) if name == camera_id:
                    expected = expected.model_copy(update={"mode": mode})
                case SetProfile(name, profile) if name == camera_id:
                    expected = expected.model_copy(update={"profile": profile})
        assert again.camera(camera_id) == overrides.camera(camera_id) == expected
    newest = {step.context: step.active for step in steps if isinstance(step, SetContext)}
    assert again.active_contexts(NOW) == {name for name, active in newest.items() if active}
