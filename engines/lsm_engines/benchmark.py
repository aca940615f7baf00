"""How fast things run, fairly: every contender in turn, round after round.

A machine is faster in one minute than in the next: it warms up, its clock falls, a neighbour
wakes. Contenders that run one after the other are compared with the weather; those that take
turns are compared with each other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from lsm_engines.api import Graph, Precision

Name = TypeVar("Name", bound=Hashable)
Scope = Literal["encoder", "model"]

_MIN_ROUNDS = 3


def interleave(
    runs: Mapping[Name, Callable[[], object]],
    *,
    seconds: float,
    rounds: int | None = None,
    hopeless: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[Name, list[float]]:
    """Time each run by turns, in the opposite order every other round.

    Args:
        runs: What to time, warmed up; each returns when its work is done.
        seconds: No new round begins after so long, but the third.
        rounds: No more than so many.
        hopeless: After the first round, whose best time is so many times that of the fastest
            is not run again.
        clock: Seconds.

    Returns:
        Seconds of each call, in order.
    """
    times_s: dict[Name, list[float]] = {name: [] for name in runs}
    active = list(runs)
    until_s = clock() + seconds
    done = 0
    while done != rounds and (done < _MIN_ROUNDS or clock() < until_s):
        for name in active:
            started_s = clock()
            runs[name]()
            times_s[name].append(clock() - started_s)
        done += 1
        if hopeless is not None:
            limit_s = hopeless * min(min(each) for each in times_s.values())
            active = [name for name in active if min(times_s[name]) <= limit_s]
        active.reverse()
    return times_s


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to measure.

    Attributes:
        backend: Which runtime.
        device: Where it runs, in torch's words.
        precision: Its arithmetic.
        batch: Pictures of one call.
        input_px: Side of the model's square input.
        scope: ``encoder``: from tensors to maps; ``model``: from 1080p pictures to masks.
    """

    backend: str
    device: str
    precision: Precision
    batch: int
    input_px: int
    scope: Scope


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured; its fields are keys of ``lsm-engines bench --json``.

    The rate and the percentiles are without the first call, which took ``warm_up_ms``.
    """

    backend: str
    device: str
    precision: Precision
    batch: int
    input_px: int
    images_per_second: float
    latency_ms_p50: float
    latency_ms_p99: float
    scope: Scope
    warm_up_ms: float


def measure(
    runs: Mapping[Case, Callable[[], object]],
    *,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Row]:
    """Return a row for each case, in order.

    Args:
        runs: What to run for each case; it returns when its work is done.
        seconds: How long to measure each case, after one call that is not counted.
        clock: Seconds.
    """
    first_s = {}
    for case, run in runs.items():
        started_s = clock()
        run()
        first_s[case] = clock() - started_s
    times_s = interleave(runs, seconds=seconds * len(runs), clock=clock)
    return [_row(case, first_s[case], each) for case, each in times_s.items()]


def count_flops(graph: Graph) -> int:
    """Return the floating-point operations of one picture: two for each multiply-add."""
    counter = FlopCounterMode(display=False)
    with counter, torch.inference_mode():
        graph.module(*(torch.zeros(1, *shape) for shape in graph.inputs.values()))
    return counter.get_total_flops()


def _row(case: Case, first_s: float, times_s: Sequence[float]) -> Row:
    p50_ms, p99_ms = np.percentile(np.array(times_s) * 1000.0, (50.0, 99.0))
    return Row(
        backend=case.backend,
        device=case.device,
        precision=case.precision,
        batch=case.batch,
        input_px=case.input_px,
        images_per_second=round(case.batch * len(times_s) / sum(times_s), 2),
        latency_ms_p50=round(float(p50_ms), 2),
        latency_ms_p99=round(float(p99_ms), 2),
        scope=case.scope,
        warm_up_ms=round(1000.0 * first_s, 2),
    )
