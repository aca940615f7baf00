"""Are broken cameras reported within 3 intervals, and ordinary ones never?

    python benchmarks/bench_camera_health.py [--streets 4] [--first-seed 101]

Each street is rendered through a day and a night in 450 pictures, coded as H.264 with groups
of 3 pictures, and its key frames, as if 10 s apart, go through the checks and the reporter of
the daemon. Then each fault is put on five moments of it, and water over its road. Frozen
pictures keep their running clock and are coded in groups of 50, at 25 pictures a second.
Street by street the encoder changes: constant quality (CRF 28, CRF 35) and a tight bit rate
(400 kbit/s).

"""

from __future__ import annotations

import argparse
import copy
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice

import cv2
import numpy as np

from benchmarks.health_faults import FAULTS, FROZEN, Fault, drops
from benchmarks.health_street import (
    INTERVAL_S,
    Coding,
    Image,
    Moment,
    Street,
    a_day_and_a_night,
    a_flood,
    delivered,
    noise_sigma,
)
from lsm_monitor.capture.health import HealthReporter
from lsm_monitor.capture.quality import QualityCheck, QualityRules
from lsm_monitor.types import CameraHealth, CameraId, HealthState

CODINGS = (
    Coding("CRF 28", {"crf": "28"}, 3),
    Coding("400 kbit/s", {"b": "400k", "maxrate": "400k", "bufsize": "800k"}, 3),
    Coding("CRF 35", {"crf": "35"}, 3),
)
WATCHED_PICTURES, FROZEN_PICTURES, DIRTY_PICTURES = 6, 6, 50
_WARM_UP_PICTURES = 2
_GROUPS_PER_PICTURE = 5
_COST_PICTURES = 40
# A picture of each of these parts of the story gets the faults, near the part's end.
_PARTS = ("day", "night", "rain at night", "quiet infra-red", "second day")
# These also get what takes many pictures to tell.
_LONG_PARTS = ("day", "night")
# Faults that end again, to see how long good news takes.
_MENDED = ("covered by black cloth", "blurred, 1 % of the width", "panned by 9 degrees")


class _Clock:
    """The time of the pictures."""

    now_s = 0.0

    def monotonic_s(self) -> float:
        return self.now_s

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.now_s)

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class Watched:
    """A camera as the daemon sees it: its checks, and what it reported."""

    def __init__(self) -> None:
        self.told: list[CameraHealth] = []
        self.flagged = 0
        self._clock = _Clock()
        self._check = QualityCheck(QualityRules())
        self._reporter = HealthReporter(
            CameraId("street"), clock=self._clock, on_health=self._note
        )
        self._reporter.starting()

    def _note(self, health: CameraHealth) -> None:
        self.told.append(health)

    def see(self, image: Image) -> CameraHealth:
        """Judge the next picture; return what was told last."""
        self._clock.now_s += INTERVAL_S
        quality = self._check.assess(image, self._clock.now_s)
        self.flagged += not quality.usable
        self._reporter.picture(quality)
        return self.told[-1]

    def until(self, state: HealthState, images: Iterable[Image]) -> int | None:
        """Return with which of ``images`` the state was told, from 1; ``None``: with none."""
        for number, image in enumerate(images, 1):
            if self.see(image).state is state:
                return number
        return None

    def fork(self) -> Watched:
        """Return the same camera once more, to try something on it."""
        return copy.deepcopy(self)


@dataclass
class Tally:
    """What was counted over all streets."""

    pictures: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    flagged: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    reports: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    notes: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    found: dict[tuple[str, str], list[int | None]] = field(
        default_factory=lambda: defaultdict(list)
    )
    recovered: list[int | None] = field(default_factory=list)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--streets", type=int, default=4)
    parser.add_argument("--first-seed", type=int, default=101)
    arguments = parser.parse_args()
    tally = Tally()
    for index in range(arguments.streets):
        coding = CODINGS[index % len(CODINGS)]
        watch_street(Street(arguments.first_seed + index), coding, tally)
        print(
            f"<!-- street {arguments.first_seed + index}, {coding.name}: done -->", flush=True
        )
    print_ordinary(tally)
    print_faults(tally)
    print_cost(Street(arguments.first_seed))


def watch_street(street: Street, coding: Coding, tally: Tally) -> None:
    """Show one street's day and night, and its faults, to a camera that begins to learn."""
    watched, story = Watched(), a_day_and_a_night()
    forks: dict[str, tuple[Moment, Watched]] = {}
    images = delivered(((street.picture(m), noise_sigma(m)) for m in story), coding)
    part_pictures: dict[str, int] = defaultdict(int)
    for moment, image in zip(story, images, strict=True):
        part = moment.part
        part_pictures[part] += 1
        if part in _PARTS and part_pictures[part] == 41:  # noqa: PLR2004 - near its end
            forks[part] = moment, watched.fork()
        flagged, told = watched.flagged, len(watched.told)
        health = watched.see(image)
        tally.pictures[part] += 1
        tally.flagged[part] += watched.flagged - flagged
        tally.reports[part] += len(watched.told) > told and health.state is HealthState.UNUSABLE
        for note in health.notes:
            tally.notes[part, note] += 1
    for moment, camera in forks.values():
        break_camera(street, coding, moment, camera, tally)
    for part in ("day", "night"):
        flood(street, coding, *forks[part], tally)


def break_camera(
    street: Street, coding: Coding, moment: Moment, camera: Watched, tally: Tally
) -> None:
    """Put every fault on a camera at one moment, one after another."""
    part = moment.part
    for name, fault in FAULTS.items():
        broken = camera.fork()
        images = faulty(street, moment, fault, coding, WATCHED_PICTURES)
        number = broken.until(HealthState.UNUSABLE, images)
        tally.found[name, part].append(number)
        if number is not None and name in _MENDED:
            good = faulty(street, moment, _nothing, coding, WATCHED_PICTURES)
            tally.recovered.append(broken.until(HealthState.USABLE, good))
    if part not in _LONG_PARTS:
        return
    name = f"frozen under a clock, {coding.name}"
    frozen = stuck(street, moment, coding)
    tally.found[name, part].append(camera.fork().until(HealthState.UNUSABLE, frozen))
    wet = camera.fork()
    noted = (
        number
        for number, image in enumerate(
            faulty(street, moment, drops(moment.number), coding, DIRTY_PICTURES), 1
        )
        if "LENS_DIRTY" in wet.see(image).notes
    )
    tally.found["drops on a quarter of the lens (a note)", part].append(next(noted, None))


def _nothing(street: Street, moment: Moment) -> tuple[Image, float]:
    return street.picture(moment), noise_sigma(moment)


def faulty(
    street: Street, moment: Moment, fault: Fault, coding: Coding, pictures: int
) -> Iterator[Image]:
    """Yield the key frames from the fault on; the encoder has run for a while before."""
    sensor = (
        (fault if index >= _WARM_UP_PICTURES else _nothing)(
            street, replace(moment, number=moment.number + index)
        )
        for index in range(_WARM_UP_PICTURES + pictures)
    )
    return islice(delivered(sensor, coding, seed=moment.number), _WARM_UP_PICTURES, None)


def stuck(street: Street, moment: Moment, coding: Coding) -> Iterator[Image]:
    """Yield a key frame each 10 s of video at 25 pictures a second, in groups of 50."""
    images = (
        (FROZEN if index >= _WARM_UP_PICTURES else _nothing)(
            street, replace(moment, number=moment.number + index)
        )
        for index in range(_WARM_UP_PICTURES + FROZEN_PICTURES)
    )
    groups = (image for image in images for _ in range(_GROUPS_PER_PICTURE))
    frames = delivered(groups, replace(coding, gop_pictures=50), seed=moment.number)
    first = _WARM_UP_PICTURES * _GROUPS_PER_PICTURE
    return islice(frames, first, None, _GROUPS_PER_PICTURE)


def flood(
    street: Street, coding: Coding, moment: Moment, camera: Watched, tally: Tally
) -> None:
    """Let water rise over the road: that must never count as a broken camera."""
    watched, part = camera.fork(), "water over the road"
    before = len(watched.told)
    story = a_flood(moment.number, moment.daylight)
    for image in delivered(((street.picture(m), noise_sigma(m)) for m in story), coding):
        watched.see(image)
        tally.pictures[part] += 1
    tally.flagged[part] += watched.flagged - camera.flagged
    tally.reports[part] += sum(
        health.state is HealthState.UNUSABLE for health in watched.told[before:]
    )


def print_ordinary(tally: Tally) -> None:
    """Print what was said of pictures with nothing wrong."""
    print("| nothing wrong | pictures | flagged | reports | LENS_DIRTY | INFRARED |")
    print("|---|---|---|---|---|---|")
    for part, pictures in tally.pictures.items():
        notes = " | ".join(str(tally.notes[part, n]) for n in ("LENS_DIRTY", "INFRARED"))
        print(
            f"| {part} | {pictures} | {tally.flagged[part]} | {tally.reports[part]} | {notes} |"
        )


def print_faults(tally: Tally) -> None:
    """Print with which picture each fault was reported."""
    print(f"\n| fault | {' | '.join(_PARTS)} |\n|---|{'---|' * len(_PARTS)}")
    for name in dict.fromkeys(name for name, _ in tally.found):
        cells = []
        for part in _PARTS:
            numbers = tally.found[name, part]
            found = sorted(number for number in numbers if number is not None)
            if not numbers:
                cells.append("")
                continue
            when = f", by {found[len(found) // 2]} to {found[-1]}" if found else ""
            cells.append(f"{len(found)} of {len(numbers)}{when}")
        print(f"| {name} | {' | '.join(cells)} |")
    good = [number for number in tally.recovered if number is not None]
    print(
        f"\nUsable again with picture {int(np.median(good))} to {max(good)} after the fault, "
        f"{len(good)} of {len(tally.recovered)}."
    )


def print_cost(street: Street) -> None:
    """Print what judging a 1080p picture costs."""
    check, costs_ms = QualityCheck(QualityRules()), []
    story = a_day_and_a_night()[:_COST_PICTURES]
    images = delivered(((street.picture(m), noise_sigma(m)) for m in story), CODINGS[0])
    large = [np.asarray(cv2.resize(image, (1920, 1080)), np.uint8) for image in images]
    for index in range(4 * len(large)):
        began_s = time.thread_time()
        check.assess(large[index % len(large)], index * INTERVAL_S)
        costs_ms.append(1000 * (time.thread_time() - began_s))
    median, slow = np.percentile(costs_ms, [50, 95])
    print(f"\nJudging a 1080p picture: {median:.1f} ms of a core, {slow:.1f} ms (p95).")


if __name__ == "__main__":
    main()
