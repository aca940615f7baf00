from __future__ import annotations

import pytest

from lsm_monitor.capture.health import HOLD_OFF_PICTURES, HealthReporter
from lsm_monitor.capture.quality import FrameQuality
from lsm_monitor.errors import SourceEndedError, SourceOpenError, SourceStalledError
from lsm_monitor.types import CameraHealth, CameraId, HealthCode, HealthState
from tests.fakes import FakeClock

GOOD = FrameQuality(())
DARK = FrameQuality((HealthCode.DARK,))
BLANK = FrameQuality((HealthCode.BLANK,))
REFUSED = SourceOpenError("camera 'bridge': refused", HealthCode.CONNECTION_REFUSED)
STALLED = SourceStalledError("camera 'bridge': silence", HealthCode.STALLED)
HUNG_UP = SourceEndedError("camera 'bridge': hung up", HealthCode.ENDED)


class Story:
    def __init__(self, clock: FakeClock) -> None:
        self.told: list[CameraHealth] = []
        self.clock = clock
        self.reporter = HealthReporter(
            CameraId("bridge"), clock=clock, on_health=self.told.append
        )
        self.reporter.starting()

    def happens(self, *steps: FrameQuality | Exception) -> list[HealthState]:
        for step in steps:
            self.clock.now_s += 10.0
            if isinstance(step, FrameQuality):
                self.reporter.picture(step)
            elif isinstance(step, SourceOpenError | SourceStalledError | SourceEndedError):
                self.reporter.failed(step, is_final=False)
        return [health.state for health in self.told]


@pytest.fixture
def story(clock: FakeClock) -> Story:
    return Story(clock)


STARTING, USABLE, UNUSABLE, OFFLINE = HealthState


def test_the_first_usable_picture_makes_a_camera_usable(story: Story) -> None:
    assert story.happens(GOOD, GOOD, GOOD) == [STARTING, USABLE]


def test_one_bad_picture_is_no_news(story: Story) -> None:
    assert story.happens(GOOD, DARK, DARK, GOOD, DARK, GOOD) == [STARTING, USABLE]


def test_a_fault_that_holds_is_told_with_its_codes(story: Story) -> None:
    assert story.happens(GOOD, *[DARK] * HOLD_OFF_PICTURES) == [STARTING, USABLE, UNUSABLE]
    assert story.told[-1].codes == (HealthCode.DARK,)
    assert story.told[-1].detail == "the picture is dark"


def test_one_good_picture_does_not_end_a_fault(story: Story) -> None:
    states = story.happens(*[DARK] * 3, GOOD, DARK, DARK, DARK, GOOD, GOOD, GOOD)
    assert states == [STARTING, UNUSABLE, USABLE]


def test_a_change_of_codes_is_told_but_the_state_is_as_old_as_before(story: Story) -> None:
    story.happens(*[DARK] * 3, *[BLANK] * 3)
    dark, blank = story.told[-2:]
    assert (dark.codes, blank.codes) == ((HealthCode.DARK,), (HealthCode.BLANK,))
    assert blank.since == dark.since


@pytest.mark.parametrize("error", [REFUSED, STALLED])
def test_a_lost_camera_is_told_at_once_and_only_once(
    story: Story, error: SourceOpenError
) -> None:
    assert story.happens(GOOD, error, error, error) == [STARTING, USABLE, OFFLINE]
    assert story.told[-1].codes == (error.code,)
    assert story.told[-1].detail == str(error)


def test_a_camera_that_hangs_up_and_is_back_at_once_is_no_news(story: Story) -> None:
    assert story.happens(GOOD, HUNG_UP, GOOD, HUNG_UP, GOOD) == [STARTING, USABLE]


def test_a_camera_that_hangs_up_and_stays_away_is_told_with_the_newest_cause(
    story: Story,
) -> None:
    assert story.happens(GOOD, HUNG_UP, REFUSED) == [STARTING, USABLE, OFFLINE]
    assert story.told[-1].codes == (HealthCode.CONNECTION_REFUSED,)
    assert story.told[-1].reconnects == 2


def test_a_new_cause_is_told_but_the_camera_is_offline_since_the_first(story: Story) -> None:
    story.happens(REFUSED, STALLED)
    first, second = story.told[-2:]
    assert second.codes == (HealthCode.STALLED,)
    assert second.since == first.since


def test_the_first_usable_picture_after_an_outage_is_told_at_once(story: Story) -> None:
    assert story.happens(GOOD, REFUSED, GOOD) == [STARTING, USABLE, OFFLINE, USABLE]
    assert story.told[-1].detail == ""
