"""The MQTT topics, and nothing else; ``docs/mqtt.md`` says what is on them.

Only checked names become part of a topic: a ``+``, ``#`` or ``/`` in a camera's name would
make messages appear where nobody expects them.
"""

from __future__ import annotations

import re
from uuid import UUID

from lsm_monitor.types import CameraId, ZoneId

_PREFIX = re.compile(r"[a-z0-9_-]+(/[a-z0-9_-]+)*")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


class Topics:
    """Topics of one installation, all below ``<prefix>/<site>``.

    Args:
        prefix: One or more levels of ``a-z 0-9 _ -``.
        site: Name of the installation: ``a-z 0-9 -``, as cameras and zones.

    Raises:
        ValueError: A name cannot be part of a topic; raised by the methods as well.
    """

    def __init__(self, prefix: str, site: str) -> None:
        if _PREFIX.fullmatch(prefix) is None:
            msg = f"topic prefix {prefix!r} is not valid; write levels of a-z, 0-9, _ and -"
            raise ValueError(msg)
        self._base = f"{prefix}/{_checked(site)}"

    @property
    def status(self) -> str:
        """Whether the daemon runs: ``online`` or ``offline``."""
        return f"{self._base}/status"

    @property
    def info(self) -> str:
        """What runs: versions, model, device."""
        return f"{self._base}/info"

    @property
    def stats(self) -> str:
        """Everything that is counted."""
        return f"{self._base}/stats"

    @property
    def cap(self) -> str:
        """Where every event is told in CAP, too."""
        return f"{self._base}/cap"

    @property
    def command_reply(self) -> str:
        """Where commands are answered."""
        return f"{self._base}/cmd/reply"

    @property
    def command_filters(self) -> tuple[str, ...]:
        """What to subscribe to for commands and feedback; see ``commands.parse``."""
        below = (
            "cmd/reload",
            "cmd/snapshot",
            "camera/+/enabled/set",
            "camera/+/mode/set",
            "camera/+/profile/set",
            "context/+/set",
            "event/+/feedback",
            "event/+/acknowledge",
        )
        return tuple(f"{self._base}/{topic}" for topic in below)

    def levels_below(self, topic: str) -> list[str]:
        """Return the levels of ``topic`` below ours; none when it is not below ours."""
        prefix, _, rest = topic.partition(f"{self._base}/")
        return [] if prefix or not rest else rest.split("/")

    def camera_availability(self, camera_id: CameraId) -> str:
        """Return where it stands whether decisions are made for a camera."""
        return f"{self._camera(camera_id)}/availability"

    def camera_health(self, camera_id: CameraId) -> str:
        """Return where it stands what is wrong with a camera."""
        return f"{self._camera(camera_id)}/health"

    def camera_state(self, camera_id: CameraId) -> str:
        """Return where a camera's worst zone stands."""
        return f"{self._camera(camera_id)}/state"

    def camera_event(self, camera_id: CameraId) -> str:
        """Return where a camera's events are told."""
        return f"{self._camera(camera_id)}/event"

    def camera_snapshot(self, camera_id: CameraId) -> str:
        """Return where a camera's newest picture is shown."""
        return f"{self._camera(camera_id)}/snapshot"

    def camera_setting(self, camera_id: CameraId, setting: str) -> str:
        """Return where ``enabled``, ``mode`` or ``profile`` stands, as set by command."""
        return f"{self._camera(camera_id)}/{_checked(setting)}/state"

    def context(self, name: str) -> str:
        """Return where it stands whether a context holds, such as a rain warning."""
        return f"{self._base}/context/{_checked(name)}/state"

    def zone_state(self, camera_id: CameraId, zone_id: ZoneId) -> str:
        """Return where the belief about a zone stands."""
        return f"{self._zone(camera_id, zone_id)}/state"

    def zone_alert(self, camera_id: CameraId, zone_id: ZoneId) -> str:
        """Return where the same stands as ``ON`` or ``OFF``."""
        return f"{self._zone(camera_id, zone_id)}/alert"

    def active_event(self, event_id: UUID) -> str:
        """Return where an open episode's newest event stands."""
        return f"{self._base}/event/active/{event_id}"

    def _camera(self, camera_id: CameraId) -> str:
        return f"{self._base}/camera/{_checked(camera_id)}"

    def _zone(self, camera_id: CameraId, zone_id: ZoneId) -> str:
        return f"{self._camera(camera_id)}/zone/{_checked(zone_id)}"


def _checked(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        msg = f"{name!r} cannot be part of a topic; write a-z, 0-9 and -"
        raise ValueError(msg)
    return name
