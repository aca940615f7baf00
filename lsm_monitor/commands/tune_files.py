"""What ``tune`` leaves behind: all trials as a table, the choice as JSON, both as a picture."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsm_monitor.commands.sweep import Trial
from lsm_monitor.commands.tune import Tuned
from lsm_monitor.errors import StoreError
from lsm_monitor.water.scoring import EventScore

if TYPE_CHECKING:  # it takes a second to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TABLE_FILE, REPORT_FILE, CURVE_FILE, DIFF_FILE = (
    "tune.csv",
    "tune.json",
    "tune.png",
    "tune.diff",
)
_TRIED, _FRONT, _NOW, _BEST = "#9db8cc", "#0b4f8a", "#d64541", "#2b8a3e"


def as_json_object(tuned: Tuned) -> dict[str, Any]:
    """Return the outcome for programs."""
    choice = tuned.choice
    return {
        "settings_tried": len(tuned.trials),
        "now": _trial_json(choice.now),
        "best": None if choice.best is None else _trial_json(choice.best),
        "best_held_out": _score_json(choice.held_out),
        "proposed": tuned.diff is not None,
        "refusal": choice.refusal,
        "diff": tuned.diff,
    }


def lines_of(tuned: Tuned) -> list[str]:
    """Return the outcome for people."""
    choice = tuned.choice
    lines = [f"{len(tuned.trials)} settings tried", f"now:      {_words(choice.now.total)}"]
    if choice.best is not None:
        lines.append(f"best:     {_words(choice.best.total)}")
        lines.append(f"held out: {_words(choice.held_out)}")
    return lines


def write_files(folder: Path, tuned: Tuned, *, max_false_alarms: float) -> None:
    """Write table, report, curve and, if something is proposed, the difference.

    Raises:
        StoreError: They cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / TABLE_FILE).open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            keys = list(tuned.choice.now.values)
            table.writerow([*keys, *_score_json(EventScore())])
            for trial in tuned.trials:
                cells = [trial.values[key] for key in keys]
                table.writerow([*cells, *_score_json(trial.total).values()])
        report = json.dumps(as_json_object(tuned), indent=2) + "\n"
        (folder / REPORT_FILE).write_text(report, encoding="utf-8")
        (folder / DIFF_FILE).unlink(missing_ok=True)  # an earlier run's proposal
        if tuned.diff is not None:
            (folder / DIFF_FILE).write_text(tuned.diff, encoding="utf-8")
        draw_curve(tuned, max_false_alarms=max_false_alarms).savefig(folder / CURVE_FILE)
    except OSError as exc:
        msg = f"{folder}: {exc.strerror}; choose another --out"
        raise StoreError(msg) from None


def draw_curve(tuned: Tuned, *, max_false_alarms: float) -> Figure:
    """Return the trade-off: false alarms against misses, and against the time to alarm."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(11, 4.5), layout="constrained", dpi=110)
    left, right = figure.subplots(1, 2)
    _draw(
        left, tuned, max_false_alarms, lambda score: 100 * score.misses / max(1, score.floods)
    )
    left.set_ylabel("missed floods, %")
    _draw(right, tuned, max_false_alarms, lambda score: score.delay_s(0.5))
    right.set_ylabel("median time to alarm, s")
    left.legend(fontsize=8)
    return figure


def _draw(
    axes: Axes,
    tuned: Tuned,
    max_false_alarms: float,
    measure: Callable[[EventScore], float | None],
) -> None:
    def spots(trials: Iterable[Trial]) -> list[tuple[float, float]]:
        return sorted(
            (trial.total.false_alarms_per_camera_day, value)
            for trial in trials
            if (value := measure(trial.total)) is not None
        )

    tried = spots(tuned.trials)
    axes.plot(*_xy(tried), ".", color=_TRIED, label="tried")
    axes.plot(*_xy(_front(tried)), color=_FRONT, drawstyle="steps-post", label="best to be had")
    axes.plot(*_xy(spots([tuned.choice.now])), "o", color=_NOW, label="now")
    if tuned.choice.best is not None:
        label = "proposed" if tuned.diff is not None else "best, not proposed"
        axes.plot(*_xy(spots([tuned.choice.best])), "*", ms=13, color=_BEST, label=label)
    if tried and max_false_alarms <= 2 * max(1.0, tried[-1][0]):
        axes.axvline(max_false_alarms, color="grey", lw=0.8, ls="--", label="limit")
    axes.set_xlabel("false alarms per camera-day")
    axes.set_xlim(left=0.0)
    axes.set_ylim(bottom=0.0)


def _front(spots: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the spots, sorted by x, than which none is lower and further left."""
    front: list[tuple[float, float]] = []
    for spot in spots:
        if not front or spot[1] < front[-1][1]:
            front.append(spot)
    return front


def _xy(spots: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in spots], [y for _, y in spots]


def _trial_json(trial: Trial) -> dict[str, Any]:
    return {"settings": dict(trial.values), **_score_json(trial.total)}


def _score_json(score: EventScore) -> dict[str, float | None]:
    return {
        "floods": score.floods,
        "hits": score.hits,
        "misses": score.misses,
        "false_alarms": score.false_alarms,
        "repeats": score.repeats,
        "camera_days": round(score.camera_days, 6),
        "false_alarms_per_camera_day": round(score.false_alarms_per_camera_day, 3),
        "time_to_alarm_s_median": score.delay_s(0.5),
        "time_to_alarm_s_p90": score.delay_s(0.9),
    }


def _words(score: EventScore) -> str:
    median_s, p90_s = score.delay_s(0.5), score.delay_s(0.9)
    times = "" if median_s is None else f", alarm after {median_s:.0f} s (p90 {p90_s:.0f} s)"
    return (
        f"{score.hits} of {score.floods} floods found, {score.false_alarms} false alarms in "
        f"{score.camera_days:.3g} camera-days ({score.false_alarms_per_camera_day:.3g} a day), "
        f"{score.repeats} repeats{times}"
    )
