from __future__ import annotations

import itertools
import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsm_monitor.capture.patrol import PatrolPlan
from lsm_monitor.types import CameraId


class Patrol:
    """Drives a plan: visits take a while, and some cameras never answer."""

    def __init__(
        self, parallel: int, visit_s: float, dead: frozenset[str] = frozenset()
    ) -> None:
        self.plan = PatrolPlan(parallel)
        self.now_s = 0.0
        self.visit_s = visit_s
        self.dead = dead
        self.most_at_once = 0
        self.visits: dict[str, list[float]] = {}
        self._going: list[tuple[float, CameraId]] = []

    def add(self, name: str, interval_s: float, priority: float = 1.0) -> None:
        self.plan.put(
            CameraId(name), interval_s=interval_s, priority=priority, now_s=self.now_s
        )

    def run(self, duration_s: float, step_s: float = 0.5) -> None:
        until_s = self.now_s + duration_s
        while self.now_s < until_s:
            self.now_s += step_s
            for ends_s, camera_id in [g for g in self._going if g[0] <= self.now_s]:
                self._going.remove((ends_s, camera_id))
                delivered = camera_id not in self.dead
                self.plan.finished(camera_id, delivered=delivered, now_s=self.now_s)
            for camera_id in self.plan.take_due(self.now_s):
                self.visits.setdefault(camera_id, []).append(self.now_s)
                self._going.append((self.now_s + self.visit_s, camera_id))
            self.most_at_once = max(self.most_at_once, len(self._going))

    def gaps(self, name: str) -> list[float]:
        times = self.visits[name]
        return [b - a for a, b in itertools.pairwise(times)]


def test_every_camera_is_visited_once_per_interval() -> None:
    patrol = Patrol(parallel=8, visit_s=1.0)
    for n in range(100):
        patrol.add(f"camera-{n}", 60.0)
    patrol.run(600)
    assert {len(times) for times in patrol.visits.values()} <= {10, 11}
    assert all(58 <= gap <= 62 for n in range(100) for gap in patrol.gaps(f"camera-{n}"))


def test_no_burst_hits_the_network() -> None:
    patrol = Patrol(parallel=1000, visit_s=1.0)
    for n in range(600):
        patrol.add(f"camera-{n}", 60.0)
    patrol.run(300)
    per_second = Counter(int(at_s) for times in patrol.visits.values() for at_s in times)
    assert max(per_second.values()) <= 14  # ten on average


@given(
    intervals_s=st.lists(st.sampled_from([10.0, 30.0, 60.0, 300.0]), min_size=1, max_size=60),
    parallel=st.integers(1, 10),
    visit_s=st.floats(0.5, 8.0),
)
def test_never_more_visits_at_once_than_allowed_and_nobody_is_forgotten(
    intervals_s: list[float], parallel: int, visit_s: float
) -> None:
    patrol = Patrol(parallel, visit_s)
    for n, interval_s in enumerate(intervals_s):
        patrol.add(f"camera-{n}", interval_s)
    patrol.run(1500, step_s=2.0)
    assert patrol.most_at_once <= parallel
    assert len(patrol.visits) == len(intervals_s)


def test_when_there_is_no_time_for_all_every_interval_stretches_alike() -> None:
    patrol = Patrol(parallel=2, visit_s=2.0)  # one visit per second
    for n in range(60):
        patrol.add(f"quick-{n}", 30.0)
        patrol.add(f"slow-{n}", 120.0)  # 2.5 visits per second are wanted
    patrol.run(6000)
    quick = [len(patrol.visits[f"quick-{n}"]) for n in range(60)]
    slow = [len(patrol.visits[f"slow-{n}"]) for n in range(60)]
    stretches = [6000 / 30.0 / (sum(quick) / 60), 6000 / 120.0 / (sum(slow) / 60)]
    assert stretches[0] == pytest.approx(2.5, rel=0.1)
    assert stretches[1] == pytest.approx(2.5, rel=0.1)
    assert max(quick) - min(quick) <= 4
    assert max(slow) - min(slow) <= 2


def test_cameras_that_do_not_answer_do_not_keep_the_others_waiting() -> None:
    dead = frozenset(f"camera-{n}" for n in range(0, 200, 3))
    patrol = Patrol(parallel=16, visit_s=2.0, dead=dead)
    for n in range(200):
        patrol.add(f"camera-{n}", 60.0)
    patrol.run(1800)
    healthy = [f"camera-{n}" for n in range(200) if f"camera-{n}" not in dead]
    assert all(max(patrol.gaps(name)) <= 63 for name in healthy)
    assert all(len(patrol.visits[name]) < 12 for name in dead)


def test_a_shorter_interval_takes_effect_at_once() -> None:
    patrol = Patrol(parallel=2, visit_s=0.5)
    patrol.add("bridge", 600.0)
    patrol.run(700)
    patrol.add("bridge", 10.0)
    before = len(patrol.visits["bridge"])
    patrol.run(60)
    assert len(patrol.visits["bridge"]) - before >= 6


def test_a_camera_of_higher_priority_waits_less() -> None:
    patrol = Patrol(parallel=1, visit_s=2.0)
    for n in range(20):
        patrol.add(f"side-{n}", 20.0)
    patrol.add("underpass", 20.0, priority=2.0)
    patrol.run(2000)
    assert len(patrol.visits["underpass"]) > 1.5 * len(patrol.visits["side-0"])


def test_nobody_waits_for_what_is_due_and_has_no_place() -> None:
    plan = PatrolPlan(1)
    for name in ("bridge", "quay"):
        plan.put(CameraId(name), interval_s=10.0, priority=1.0, now_s=0.0)
    assert len(plan.take_due(10.0)) == 1
    assert plan.wait_s(10.0) == math.inf


def test_another_interval_does_not_cut_the_wait_of_a_camera_that_fails() -> None:
    plan = PatrolPlan(1)
    plan.put(CameraId("bridge"), interval_s=60.0, priority=1.0, now_s=0.0)
    now_s = 60.0
    for _ in range(4):
        assert plan.take_due(now_s) == ["bridge"]
        plan.finished(CameraId("bridge"), delivered=False, now_s=now_s)
        now_s += plan.wait_s(now_s) + 0.1
    plan.finished(CameraId("bridge"), delivered=False, now_s=now_s)
    wait_s = plan.wait_s(now_s)
    plan.put(CameraId("bridge"), interval_s=10.0, priority=1.0, now_s=now_s)
    assert plan.wait_s(now_s) == wait_s > 100


def test_a_visit_of_which_nothing_is_heard_any_more_can_be_abandoned() -> None:
    plan = PatrolPlan(1)
    plan.put(CameraId("bridge"), interval_s=10.0, priority=1.0, now_s=0.0)
    assert plan.take_due(10.0) == ["bridge"]
    assert plan.take_due(60.0) == []
    plan.abandon_visit(CameraId("bridge"))
    assert plan.take_due(60.0) == ["bridge"]
