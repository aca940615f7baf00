"""``lsm-monitor cameras ls``: what is configured, after groups and inventory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from lsm_monitor.capture.redact import redact_url
from lsm_monitor.config.intervals import fast_interval_s, usual_interval_s
from lsm_monitor.config.loader import LoadedConfig

COLUMNS = ("camera", "group", "mode", "every", "fast", "source", "zones", "enabled", "place")


@dataclass(frozen=True, slots=True)
class CameraRow:
    """One camera of the configuration.

    Attributes:
        camera: Its id.
        group: Name of its group, or ``None``.
        mode: ``continuous``, ``patrol`` or ``triggered``.
        interval_s: Time between two pictures while nothing happens, in seconds.
        fast_interval_s: The same while something does.
        source: Address or path, without credentials.
        zones: Their names; empty for the whole picture.
        enabled: Whether it is watched.
        place: Where it stands, as ``file:line``.
    """

    camera: str
    group: str | None
    mode: str
    interval_s: float
    fast_interval_s: float
    source: str
    zones: tuple[str, ...]
    enabled: bool
    place: str

    def cells(self) -> tuple[str, ...]:
        """Return the row for a person, one cell for each of ``COLUMNS``."""
        return (
            self.camera,
            self.group or "-",
            self.mode,
            f"{self.interval_s:g} s",
            f"{self.fast_interval_s:.3g} s",
            self.source,
            ",".join(self.zones) or "full",
            "yes" if self.enabled else "no",
            self.place,
        )

    def as_json_object(self) -> dict[str, object]:
        """Return the row for programs; times in seconds."""
        return asdict(self)


def camera_rows(loaded: LoadedConfig) -> Iterator[CameraRow]:
    """Yield all cameras of the configuration, in its order."""
    for name, camera in loaded.config.cameras.items():
        yield CameraRow(
            camera=name,
            group=camera.group,
            mode=camera.mode,
            interval_s=usual_interval_s(camera),
            fast_interval_s=fast_interval_s(camera),
            source=redact_url(camera.url),
            zones=tuple(camera.zones),
            enabled=camera.enabled,
            place=loaded.places[name],
        )
