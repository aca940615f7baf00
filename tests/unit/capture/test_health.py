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
FROZEN = FrameQuality((HealthCode.FROZEN,))
INFRARED = FrameQuality((), (HealthCode.INFRARED,))
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


def test_frozen_is_told_at_once_for_it_took_three_pictures_to_know(story: Story) -> None:
    assert story.happens(GOOD, FROZEN) == [STARTING, USABLE, UNUSABLE]
    assert story.told[-1].codes == (HealthCode.FROZEN,)


def test_causes_that_alternate_are_told_as_one_that_holds_would_be(story: Story) -> None:
    states = story.happens(GOOD, DARK, BLANK, DARK, BLANK, GOOD, GOOD, GOOD)
    assert states == [STARTING, USABLE, UNUSABLE, USABLE]
    assert story.told[2].codes == (HealthCode.DARK,)


def test_a_note_is_told_when_it_holds_and_the_camera_stays_usable(story: Story) -> None:
    assert story.happens(GOOD, INFRARED, GOOD, INFRARED, INFRARED) == [STARTING, USABLE]
    assert story.happens(INFRARED) == [STARTING, USABLE, USABLE]
    noted = story.told[-1]
    assert (noted.codes, noted.notes) == ((), (HealthCode.INFRARED,))
    assert noted.since == story.told[-2].since
    assert story.happens(GOOD, GOOD, GOOD)[-1] is USABLE
    assert story.told[-1].notes == ()


def test_notes_do_not_keep_a_fault_from_being_told(story: Story) -> None:
    noted = FrameQuality(DARK.codes, (HealthCode.LENS_DIRTY,))
    assert story.happens(GOOD, DARK, noted, DARK) == [STARTING, USABLE, UNUSABLE]


def test_a_camera_that_is_offline_has_no_notes(story: Story) -> None:
    story.happens(INFRARED, INFRARED, INFRARED, REFUSED)
    assert story.told[-1].notes == ()


@pytest.mark.parametrize("code", ["BLURRED", "OBSTRUCTED", "CAMERA_MOVED"])
def test_every_fault_of_a_picture_has_words(story: Story, code: str) -> None:
    story.happens(*[FrameQuality((HealthCode(code),))] * 3)
    assert story.told[-1].detail
