"""Settings judged on masks that are made here: squares of water that come and go."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsm_monitor.commands.raw_masks import RawMasks, load, mask_file, save
from lsm_monitor.commands.sweep import (
    LabelledVideo,
    default_axes,
    present,
    settings_of,
    sweep,
    with_axes,
)
from lsm_monitor.commands.tune import expect_shares_of_zones
from lsm_monitor.config.levels import LevelsConfig
from lsm_monitor.config.models import CameraConfig
from lsm_monitor.errors import ConfigError, StoreError
from lsm_monitor.runtime.judging import judge_of
from lsm_monitor.types import CameraId, EventKind, WaterLevel
from lsm_monitor.water.scoring import Span

LEFT, RIGHT = (
    {"points": [[x, 0.0], [x + 0.5, 0.0], [x + 0.5, 1.0], [x, 1.0]]} for x in (0.0, 0.5)
)
CAMERA = CameraConfig.model_validate({"url": "x", "zones": {"left": LEFT, "right": RIGHT}})
HW = (20, 40)


def raw_of(shares: Sequence[float | None]) -> RawMasks:
    """Return one mask per 10 s: that share of the left zone's rows is water; ``None``: none."""
    masks: list[bytes | None] = []
    for share in shares:
        water = np.zeros(HW, np.uint8)
        water[: round((share or 0.0) * HW[0]), :20] = 1
        masks.append(None if share is None else zlib.compress(np.packbits(water).tobytes()))
    times_s = 10.0 * np.arange(len(shares), dtype=np.float64)
    return RawMasks(times_s, tuple(masks), HW, None)


def video(shares: Sequence[float | None], *floods: Span) -> LabelledVideo:
    return LabelledVideo(floods, CAMERA, raw_of(shares))


ONE_FLOOD = video([0.0] * 20 + [0.3] * 40 + [0.0] * 40, Span(200.0, 600.0))


def test_the_present_settings_come_first_and_only_valid_ones_are_tried() -> None:
    axes = default_axes(CAMERA, WaterLevel.PONDING)
    tried = settings_of(axes, CAMERA)
    assert tried[0] == {
        "levels.ponding.enter": 0.08,
        "levels.ponding.leave": 0.04,
        "open_for_s": 30.0,
        "close_for_s": 120.0,
        "min_frames": 3,
    }
    # 3 * 0.08 is still below the 0.25 of 'flooded'.
    assert {values["levels.ponding.enter"] for values in tried} == {
        *(0.04, 0.06, 0.08, 0.12, 0.16, 0.24)
    }
    assert len(tried) == len({tuple(values.items()) for values in tried}) == 6 * 4 * 3 * 4
    asked = with_axes(axes, {"levels.ponding.enter": [0.01, 0.1, 0.3]})
    assert {v["levels.ponding.enter"] for v in settings_of(asked, CAMERA)} == {0.08, 0.1}


@pytest.mark.parametrize("key", ["levels", "mode", "no.such.key", "trend"])
def test_what_is_no_number_cannot_be_tuned(key: str) -> None:
    with pytest.raises(KeyError, match=key):
        present(CAMERA, [key])


def test_a_longer_dwell_alarms_later_and_a_high_threshold_not_at_all() -> None:
    settings = [
        {"open_for_s": 30.0, "levels.ponding.enter": 0.08},
        {"open_for_s": 100.0, "levels.ponding.enter": 0.08},
        {"open_for_s": 30.0, "levels.ponding.enter": 0.24},
    ]
    higher = {**settings[2], "levels.flooded.enter": 0.45, "levels.ponding.enter": 0.4}
    trials = list(
        sweep([ONE_FLOOD], [*settings, higher], level=WaterLevel.PONDING, slack_s=0.0)
    )
    delays_s = [trial.total.delay_s(0.5) for trial in trials]
    assert delays_s[0] is not None
    assert delays_s[1] is not None
    assert 30.0 <= delays_s[0] < 60.0
    assert delays_s[1] == delays_s[0] + 70.0
    assert [trial.total.misses for trial in trials] == [0, 0, 0, 1]
    assert [trial.total.watched_s for trial in trials] == [990.0] * 4


def test_a_setting_that_a_camera_does_not_allow_is_left_out() -> None:
    settings = [{"levels.ponding.enter": 0.08}, {"levels.ponding.enter": 0.3}]
    assert len(list(sweep([ONE_FLOOD], settings, level=WaterLevel.PONDING, slack_s=0.0))) == 1


def test_what_a_camera_says_itself_stays_while_the_defaults_are_tuned() -> None:
    own = {"wet": {"enter": 0.10, "leave": 0.05}, "ponding": {"enter": 0.20, "leave": 0.15}}
    deaf = CAMERA.model_copy(update={"levels": LevelsConfig.model_validate(own)})
    shallow = raw_of([0.0] * 20 + [0.15] * 40 + [0.0] * 40)
    videos = [LabelledVideo((), camera, shallow) for camera in (CAMERA, deaf)]
    now = {"levels.ponding.enter": 0.08, "levels.ponding.leave": 0.04, "open_for_s": 30.0}
    patient = {**now, "open_for_s": 90.0}
    level = WaterLevel.PONDING
    trials = list(sweep(videos, [now, patient], now=now, level=level, slack_s=0.0))
    assert [trial.values for trial in trials] == [now, patient]
    alarms = [[score.false_alarms for score in trial.scores] for trial in trials]
    assert alarms == [[1, 0], [1, 0]]  # 15 % stands below what the second calls ponding


shares = st.lists(st.sampled_from([None, 0.0, 0.05, 0.1, 0.2, 0.3, 0.6]), max_size=40)


@settings(max_examples=30, deadline=None)
@given(shares)
def test_alarms_are_those_that_the_daemons_judge_tells(seen: list[float | None]) -> None:
    raw = raw_of([0.0, *seen])
    judge = judge_of(CameraId("x"), CAMERA)
    opened: dict[str, list[float]] = {"left": [], "right": []}
    for time_s, mask in raw.water_masks():
        if mask is None:
            continue  # the judge is told of the gap by the next one
        for event in judge.observe(mask).events:
            if event.kind is EventKind.OPEN:
                opened[event.episode.zone_id].append(time_s)
    floods = [Span(t_s, t_s + 1.0) for t_s in opened["left"]]
    trials = list(
        sweep(
            [LabelledVideo(tuple(floods), CAMERA, raw)],
            [{"open_for_s": 30.0}],
            level=WaterLevel.PONDING,
            slack_s=0.0,
        )
    )
    (trial,) = trials
    total = trial.total
    assert (total.misses, total.false_alarms, total.repeats) == (0, 0, 0)
    assert opened["right"] == []


def test_masks_are_the_same_when_they_come_from_the_file(tmp_path: Path) -> None:
    raw = raw_of([0.0, None, 0.5])
    path = tmp_path / "masks" / "a.npz"
    assert load(path) is None
    save(path, raw)
    again = load(path)
    assert again is not None
    assert (again.masks, again.mask_hw, again.problem) == (raw.masks, HW, None)
    assert again.times_s.tolist() == [0.0, 10.0, 20.0]
    path.write_bytes(path.read_bytes()[:-40])
    assert load(path) is None


def test_masks_are_kept_for_one_state_of_a_video_one_interval_and_one_model(
    tmp_path: Path,
) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"1")
    first = mask_file(tmp_path, clip, CAMERA, "model")
    slower = CAMERA.model_copy(update={"interval_s": 20.0})
    assert mask_file(tmp_path, clip, slower, "model") != first
    assert mask_file(tmp_path, clip, CAMERA, "other") != first
    clip.write_bytes(b"22")
    assert mask_file(tmp_path, clip, CAMERA, "model") != first
    with pytest.raises(StoreError, match=r"absent\.mp4: No such file"):
        mask_file(tmp_path, tmp_path / "absent.mp4", CAMERA, "model")


def test_masks_of_water_alone_cannot_tune_what_is_a_share_of_the_road() -> None:
    of_road = CAMERA.model_copy(update={"water_share_of": "road"})
    expect_shares_of_zones({Path("dry.mp4"): CAMERA})
    with pytest.raises(ConfigError, match=r"wet\.mp4: .* write water_share_of: zone"):
        expect_shares_of_zones({Path("dry.mp4"): CAMERA, Path("wet.mp4"): of_road})
