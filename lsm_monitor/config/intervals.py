"""Which interval holds for a camera now.

    mode         usually             change of level pending,      episode open
                                     or the group's trigger on
    continuous   interval_s          fast_interval_s               interval_s
    patrol       interval_s          fast_interval_s               interval_s
    triggered    idle_interval_s     fast_interval_s               interval_s

The column further left of the two that apply never wins: water that stands after the rain is
still watched at ``interval_s``, and a level that is about to change at ``fast_interval_s``.
"""

from __future__ import annotations

from lsm_monitor.config.models import CameraDefaults

_FASTEST_S = 2.0
"""Of the default only: below it a model on a CPU does little else than that camera."""


def fast_interval_s(camera: CameraDefaults) -> float:
    """Return the interval of a camera that needs attention, in seconds."""
    if camera.fast_interval_s is not None:
        return camera.fast_interval_s
    return min(camera.interval_s, max(camera.interval_s / 3, _FASTEST_S))


def usual_interval_s(camera: CameraDefaults) -> float:
    """Return the interval of a camera at which nothing happens, in seconds."""
    return camera.idle_interval_s if camera.mode == "triggered" else camera.interval_s


def interval_s(
    camera: CameraDefaults, *, pending: bool, triggered: bool, episode_open: bool
) -> float:
    """Return the interval that holds now, in seconds.

    Args:
        camera: Its settings.
        pending: A change of level waits for its dwell time in one of its zones.
        triggered: The trigger of its group is on.
        episode_open: An episode is open in one of its zones.
    """
    if pending or triggered:
        return fast_interval_s(camera)
    return camera.interval_s if episode_open else usual_interval_s(camera)
