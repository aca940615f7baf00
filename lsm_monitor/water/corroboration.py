"""Whether cameras that watch the same place agree that water stands there.

One camera may be fooled by a wet road; two that look from different sides rarely are by the
same. A camera that cannot see is no witness, neither for nor against.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from lsm_monitor.types import CameraId, WaterState, ZoneId
from lsm_monitor.water.judge import Judgement
from lsm_monitor.water.state import EPISODE_LEVELS


@dataclass(frozen=True, slots=True)
class Place:
    """Cameras that look at the same road.

    Attributes:
        cameras: All of them.
        min_cameras: k: so many must see water there to vouch for each other.
    """

    cameras: frozenset[CameraId]
    min_cameras: int


class Corroboration:
    """Knows what every camera of a place said last. Not thread-safe.

    Args:
        places: A camera may belong to several.
    """

    def __init__(self, places: Iterable[Place] = ()) -> None:
        self._places = tuple(places)
        self._watched = frozenset(camera for place in self._places for camera in place.cameras)
        self._wet_zones: dict[CameraId, frozenset[ZoneId]] = {}

    def of(self, judgement: Judgement) -> Judgement:
        """Take in what a camera says and return it with ``is_corroborated`` filled in.

        Args:
            judgement: Of one camera. Where it sees standing water, it is corroborated when
                at least k cameras of a place do, itself among them.
        """
        for camera_id in {state.camera_id for state in judgement.states} & self._watched:
            self._wet_zones[camera_id] = frozenset(
                state.zone_id
                for state in judgement.states
                if state.camera_id == camera_id and state.level in EPISODE_LEVELS
            )
        if not self._places:
            return judgement
        return replace(
            judgement,
            states=tuple(self._marked(state) for state in judgement.states),
            events=tuple(
                replace(event, state=self._marked(event.state)) for event in judgement.events
            ),
        )

    def forget(self, camera_id: CameraId) -> None:
        """Hear a camera no more as a witness: it is not watched any longer."""
        self._wet_zones.pop(camera_id, None)

    def _marked(self, state: WaterState) -> WaterState:
        agreed = state.level in EPISODE_LEVELS and any(
            sum(bool(self._wet_zones.get(camera)) for camera in place.cameras)
            >= place.min_cameras
            for place in self._places
            if state.camera_id in place.cameras
        )
        return replace(state, is_corroborated=agreed)
