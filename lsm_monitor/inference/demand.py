"""How many pictures a second the cameras are going to bring, as they are looked at now.

Counting what came would know it an interval too late, and an interval may be minutes. What is
configured is known at once, but a camera that is away brings nothing, and one whose key frames
are further apart than its interval brings less.
"""

from __future__ import annotations

from dataclasses import dataclass

from lsm_monitor.types import CameraId


@dataclass(slots=True)
class _Expected:
    """What is known of a camera.

    Attributes:
        interval_s: In force now.
        longest_s: The longest in force since its last picture.
        came_s: When that was; ``None`` before the first one.
        late: So many intervals it was from the picture before it, at least 1.
    """

    interval_s: float
    longest_s: float
    came_s: float | None = None
    late: float = 1.0


class Demand:
    """Knows the cameras' intervals and how well they keep them. Not thread-safe."""

    def __init__(self) -> None:
        self._cameras: dict[CameraId, _Expected] = {}

    def expect(self, camera_id: CameraId, interval_s: float) -> None:
        """Expect a camera's pictures this far apart from now on."""
        camera = self._cameras.setdefault(camera_id, _Expected(interval_s, interval_s))
        camera.interval_s = interval_s
        camera.longest_s = max(camera.longest_s, interval_s)

    def forget(self, camera_id: CameraId) -> None:
        """Expect no more pictures of a camera."""
        self._cameras.pop(camera_id, None)

    def came(self, camera_id: CameraId, now_s: float) -> None:
        """Note that a picture of an expected camera has come."""
        camera = self._cameras[camera_id]
        camera.late = _lateness(camera, now_s)
        camera.came_s, camera.longest_s = now_s, camera.interval_s

    def per_s(self, now_s: float) -> float:
        """Return the pictures per second; a camera counts from its first one."""
        return sum(
            1.0 / (camera.interval_s * max(camera.late, _lateness(camera, now_s)))
            for camera in self._cameras.values()
            if camera.came_s is not None
        )


def _lateness(camera: _Expected, now_s: float) -> float:
    """Return how many intervals ago its last picture came, at least 1."""
    return (
        1.0 if camera.came_s is None else max(1.0, (now_s - camera.came_s) / camera.longest_s)
    )
