"""The numbers of a payload's ``water`` in words, for people at a terminal."""

from __future__ import annotations

from typing import TypedDict


class Depth(TypedDict):
    """``water.depth_cm`` of a payload."""

    min: float
    max: float | None


class Water(TypedDict):
    """``water`` of a payload, as far as it is put into words."""

    fraction: float | None
    area_m2: float | None
    depth_cm: Depth | None
    trend: str | None
    rate_pp_per_min: float | None


def details_of(water: Water) -> str:
    """Return ``15-25 cm, 86 m2, rising 0.4 pp/min``, or what is known of it."""
    parts = []
    if water["depth_cm"] is not None:
        parts.append(_depth(water["depth_cm"]))
    if water["area_m2"] is not None:
        parts.append(f"{water['area_m2']:.0f} m2")
    if water["trend"] is not None:
        rate = abs(water["rate_pp_per_min"] or 0.0)
        is_moving = water["trend"] != "steady"
        parts.append(f"{water['trend']} {rate:.3g} pp/min" if is_moving else water["trend"])
    return ", ".join(parts)


def _depth(depth: Depth) -> str:
    if depth["max"] is None:
        return f"over {depth['min']:g} cm"
    if depth["max"] == 0:
        return "0 cm"
    return f"{depth['min']:g}-{depth['max']:g} cm"
