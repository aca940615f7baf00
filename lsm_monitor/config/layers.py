"""A camera's settings are three layers: ``defaults`` under its group under what it says itself.

The layers are merged key by key before anything is checked. An error is then carried back to
the layer in which its value stands, and told once, although a thousand cameras inherit it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lsm_monitor.config.document import Location

_NOT_INHERITED = {"trigger"}  # the group's own key


@dataclass(frozen=True, slots=True)
class Layers:
    """The raw layers of a configuration.

    Attributes:
        defaults: What stands under ``defaults``.
        groups: What stands under each group.
        cameras: What stands under each camera, from every file.
    """

    defaults: Mapping[str, Any] = field(default_factory=dict)
    groups: Mapping[str, Any] = field(default_factory=dict)
    cameras: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Layers:
        """Return the layers of ``data``; what is no mapping has no keys to inherit."""
        return cls(*(_mapping(data.get(key)) for key in ("defaults", "groups", "cameras")))

    def merged(self) -> dict[str, dict[str, Any]]:
        """Return ``groups`` and ``cameras`` with everything they inherit."""
        groups = {
            name: merge(self.defaults, group) if isinstance(group, dict) else group
            for name, group in self.groups.items()
        }
        under = {
            name: {key: value for key, value in group.items() if key not in _NOT_INHERITED}
            for name, group in groups.items()
            if isinstance(group, dict)
        }
        cameras = {
            name: merge(under.get(_group_of(camera), self.defaults), camera)
            if isinstance(camera, dict)
            else camera
            for name, camera in self.cameras.items()
        }
        return {"groups": groups, "cameras": cameras}

    def inherited_from(self, location: Location) -> list[Location]:
        """Return where ``location`` would stand in the layers under it, nearest first."""
        match location:
            case ("cameras", str(name), *rest):
                group = _group_of(self.cameras.get(name))
                above: list[Location] = [("groups", group, *rest)] if group else []
                return [*above, ("defaults", *rest)]
            case ("groups", str(), *rest):
                return [("defaults", *rest)]
            case _:
                return []

    def origin(self, location: Location) -> Location:
        """Return where the value at ``location`` was written, as far as anybody wrote it."""
        candidates = [location, *self.inherited_from(location)]
        return next((place for place in candidates if self._holds(place)), location)

    def _holds(self, location: Location) -> bool:
        value: Any = {
            "defaults": self.defaults,
            "groups": self.groups,
            "cameras": self.cameras,
        }
        for key in location:
            try:
                value = value[key]
            except (KeyError, IndexError, TypeError):  # not there, or nothing to look into
                return False
        return True


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _group_of(camera: object) -> str:
    group = camera.get("group") if isinstance(camera, dict) else None
    return group if isinstance(group, str) else ""


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``under`` with the values of ``over``, mappings key by key at every depth."""
    result = {**under, **over}
    for key in under.keys() & over.keys():
        if isinstance(under[key], dict) and isinstance(over[key], dict):
            result[key] = merge(under[key], over[key])
    return result
