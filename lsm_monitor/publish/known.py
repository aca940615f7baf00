"""Which retained topics an installation has, and which of an earlier one are left over."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from lsm_monitor.publish.topics import Topics
from lsm_monitor.types import CameraId, ZoneId

SETTINGS = ("enabled", "mode", "profile")
"""What can be set for a camera by command."""


@dataclass(frozen=True, slots=True)
class KnownZone:
    """A zone as subscribers know it; ``has_depth``: a gauge tells how deep the water is."""

    zone_id: ZoneId
    has_depth: bool = False


@dataclass(frozen=True, slots=True)
class KnownCamera:
    """A camera as subscribers know it.

    Attributes:
        camera_id: Key of the camera in the configuration.
        zones: Its zones, ``full`` included.
        name: For people; empty: the id.
        area: Where it hangs, for people; empty when nobody says.
        enabled: Whether it is looked at; if not, it has no states.
    """

    camera_id: CameraId
    zones: Sequence[KnownZone]
    name: str = ""
    area: str = ""
    enabled: bool = True


def retained_topics(
    topics: Topics, cameras: Collection[KnownCamera], contexts: Collection[str] = ()
) -> frozenset[str]:
    """Return every topic below ours on which something retained may be published.

    Without ``event/active/<event_id>``: the last event of an episode removes that.
    """
    return frozenset(
        {
            topics.status,
            topics.info,
            *(topics.context(name) for name in contexts),
            *(topic for camera in cameras for topic in _topics_of(topics, camera)),
        }
    )


def zones_left_over(
    topics: Topics, camera: KnownCamera, announced: Collection[str]
) -> frozenset[ZoneId]:
    """Return zones that ``camera`` no longer has, but has announced before."""
    now = {zone.zone_id for zone in camera.zones}
    found = set()
    for topic in announced:
        match topics.levels_below(topic):
            case ["camera", camera.camera_id, "zone", zone_id, "state"] if zone_id not in now:
                found.add(ZoneId(zone_id))
    return frozenset(found)


def _topics_of(topics: Topics, camera: KnownCamera) -> Iterator[str]:
    camera_id = camera.camera_id
    yield topics.camera_availability(camera_id)
    for setting in SETTINGS:
        yield topics.camera_setting(camera_id, setting)
    if camera.enabled:
        yield topics.camera_health(camera_id)
        yield topics.camera_state(camera_id)
        yield topics.camera_snapshot(camera_id)
        for zone in camera.zones:
            yield topics.zone_state(camera_id, zone.zone_id)
            yield topics.zone_alert(camera_id, zone.zone_id)
