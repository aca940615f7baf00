"""A replayed video at a glance: water, levels and events of each zone over time.

Drawn once by matplotlib, and written as PNG and as one HTML file that holds everything,
without scripts.
"""

from __future__ import annotations

import html
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lsm_monitor.types import WaterLevel
from lsm_monitor.water.state import WaterRules

if TYPE_CHECKING:  # it takes a second to import, and most replays draw nothing
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEVEL_COLOURS = {
    WaterLevel.UNKNOWN: "#bdbdbd",
    WaterLevel.DRY: "#f7f5f0",
    WaterLevel.WET: "#cfe8f7",
    WaterLevel.PONDING: "#8cc7ea",
    WaterLevel.FLOODED: "#f5a25d",
    WaterLevel.SEVERE: "#d64541",
}
_WATER_COLOUR, _INSTANT_COLOUR, _EVENT_COLOUR = "#0b4f8a", "#7aa6c8", "#5b2a86"
_HEAD_ROOM = 1.15
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<style>body{{font:15px/1.5 sans-serif;margin:2em auto;max-width:70em;padding:0 1em}}
svg{{width:100%;height:auto}}table{{border-collapse:collapse}}
td,th{{padding:.2em .8em;text-align:left;border-bottom:1px solid #ccc}}</style></head>
<body><h1>{title}</h1><p>{summary}</p>{picture}
<h2>Events</h2>{events}</body></html>
"""
_COLUMNS = ("at", "zone", "event", "level", "water")


@dataclass(slots=True)
class ZoneTimeline:
    """One zone, one value per picture; ``None`` where there was nothing to see.

    Attributes:
        times_s: Video time.
        instant: Share of the zone that is water in the picture, [0, 1].
        smoothed: The same after smoothing.
        levels: What was believed after the picture.
        events: Time and kind of each event.
    """

    times_s: list[float] = field(default_factory=list)
    instant: list[float | None] = field(default_factory=list)
    smoothed: list[float | None] = field(default_factory=list)
    levels: list[WaterLevel] = field(default_factory=list)
    events: list[tuple[float, str]] = field(default_factory=list)


def draw_timeline(zones: dict[str, ZoneTimeline], rules: WaterRules, title: str) -> Figure:
    """Return the picture of a video's zones."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(11, 1.2 + 2.6 * len(zones)), layout="constrained")
    figure.suptitle(title)
    rows = figure.subplots(
        2 * len(zones), 1, sharex=True, squeeze=False, height_ratios=[8, 1] * len(zones)
    )[:, 0]
    for index, (name, zone) in enumerate(zones.items()):
        _draw_water(rows[2 * index], name, zone, rules)
        _draw_levels(rows[2 * index + 1], zone)
    rows[-1].xaxis.set_major_formatter(lambda t_s, _: _clock(t_s))
    rows[-1].set_xlim(0.0, max(1.0, *(zone.times_s[-1] for zone in zones.values())))
    rows[-1].set_xlabel("time in the video")
    return figure


def write_timeline(
    stem: Path, figure: Figure, *, title: str, summary: str, payloads: Sequence[bytes]
) -> None:
    """Write ``STEM.timeline.png`` and ``STEM.timeline.html``.

    Raises:
        OSError: One of them cannot be written.
    """
    from matplotlib import rc_context  # noqa: PLC0415

    figure.savefig(stem.with_name(f"{stem.name}.timeline.png"), dpi=110)
    svg = io.StringIO()
    # Text stays text, and the same video makes the same file.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "lsm-monitor"}):
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    picture = svg.getvalue()
    page = _PAGE.format(
        title=html.escape(title),
        summary=html.escape(summary),
        picture=picture[picture.index("<svg") :],
        events=_table(payloads),
    )
    stem.with_name(f"{stem.name}.timeline.html").write_text(page, encoding="utf-8")


def _draw_water(axes: Axes, name: str, zone: ZoneTimeline, rules: WaterRules) -> None:
    seen = [share for share in (*zone.smoothed, *zone.instant) if share is not None]
    top = min(1.0, _HEAD_ROOM * max([*seen, 1.5 * rules.ponding.enter]))
    edges = [(level, band.enter) for level, band in rules.bands().items()]
    ends = [enter for _, enter in edges[1:]] + [1.0]
    for (level, enter), end in zip(edges, ends, strict=True):
        axes.axhspan(enter, end, color=_LEVEL_COLOURS[level], alpha=0.35, linewidth=0)
        if enter < top:
            axes.annotate(level, (1.005, enter), xycoords=("axes fraction", "data"), size=8)
    times_s = zone.times_s
    nan = float("nan")
    instant = [nan if share is None else share for share in zone.instant]
    smoothed = [nan if share is None else share for share in zone.smoothed]
    # Pixels inside of the SVG: a day has more dots than a browser likes.
    axes.plot(
        times_s, instant, ".", color=_INSTANT_COLOUR, ms=3, label="picture", rasterized=True
    )
    axes.plot(times_s, smoothed, color=_WATER_COLOUR, lw=1.6, label="smoothed")
    for t_s, kind in zone.events:
        axes.axvline(t_s, color=_EVENT_COLOUR, lw=0.8, ls="--")
        axes.annotate(
            kind,
            (t_s, 0.98),
            xycoords=("data", "axes fraction"),
            rotation=90,
            va="top",
            ha="right",
            size=8,
            color=_EVENT_COLOUR,
        )
    axes.set(ylim=(0.0, top), ylabel=f"water in '{name}'")
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.legend(loc="upper left", fontsize=8)


def _draw_levels(axes: Axes, zone: ZoneTimeline) -> None:
    """Draw a strip in the colour of the level; one span per run, a day has thousands."""
    begin_s = zone.times_s[0]
    runs = zip(zone.levels, [*zone.levels[1:], None], [*zone.times_s[1:], None], strict=True)
    for level, next_level, next_s in runs:
        if next_level is level:
            continue
        end_s = zone.times_s[-1] if next_s is None else next_s
        axes.axvspan(begin_s, end_s, color=_LEVEL_COLOURS[level], linewidth=0)
        begin_s = end_s
    axes.set(yticks=[], ylabel="level")
    axes.yaxis.label.set(rotation=0, ha="right", va="center")


def _table(payloads: Sequence[bytes]) -> str:
    if not payloads:
        return "<p>none</p>"
    head = "".join(f"<th>{name}</th>" for name in _COLUMNS)
    return f"<table><tr>{head}</tr>{''.join(map(_row, payloads))}</table>"


def _row(payload: bytes) -> str:
    event = json.loads(payload)
    fraction = event["water"]["fraction"]
    cells = (
        event["observed_at"],
        event["zone"],
        f"{event['event_type']} #{event['seq']}",
        f"{event['previous_level']} to {event['level']}",
        "not visible" if fraction is None else f"{fraction:.1%}",
    )
    return "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"


def _clock(t_s: float) -> str:
    minutes, seconds = divmod(round(t_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
