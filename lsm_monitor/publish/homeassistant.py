"""Home Assistant finds cameras and zones by itself: its MQTT discovery, in the device form.

One device per camera, hanging on one for the site. What Home Assistant shows is what stands
on our own topics; nothing is published for it but these descriptions. ``None`` is its word for
"unknown": what cannot be seen is neither safe nor dry.

The problem of a camera must stay visible while the camera is down, so it depends on the
daemon alone. A zone that is gone is named once more without content, which removes it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from typing import TypeAlias

from lsm_monitor.config.models import DiscoveryConfig
from lsm_monitor.publish.known import KnownCamera, KnownZone, zones_left_over
from lsm_monitor.publish.topics import Topics
from lsm_monitor.types import EventKind, HealthCode, OutboundMessage, Trend, WaterLevel, ZoneId

Component: TypeAlias = dict[str, object]

_MISSED_HEARTBEATS = 5
_ONLY_ZONE = "full"
_PLATFORMS = {
    "water": "binary_sensor",
    "unsafe": "binary_sensor",
    "level": "sensor",
    "fraction": "sensor",
    "depth": "sensor",
    "trend": "sensor",
}
_UNSAFE = (
    "{{ None if value_json.severity is none else 'ON' if value_json.severity >= 3 else 'OFF' }}"
)
_LEVEL = "{{ None if value_json.level == 'unknown' else value_json.level }}"
_FRACTION = (
    "{{ None if value_json.water.fraction is none "
    "else (value_json.water.fraction * 100) | round(1) }}"
)
# Above the highest mark there is no upper end; that is no time to be unknown.
_DEPTH = (
    "{{ None if not value_json.water.depth_cm else value_json.water.depth_cm.min "
    "if value_json.water.depth_cm.max is none else value_json.water.depth_cm.max }}"
)
_TREND = "{{ value_json.water.trend }}"
_PROBLEM = (
    "{{ None if value_json.state == 'starting' "
    "else 'OFF' if value_json.state == 'usable' else 'ON' }}"
)
_TAMPERED = [HealthCode.CAMERA_MOVED.value, HealthCode.OBSTRUCTED.value]
_TAMPER = f"{{{{ 'ON' if value_json.codes | select('in', {_TAMPERED}) | list else 'OFF' }}}}"


class HomeAssistant:
    """Describes one installation to Home Assistant.

    Args:
        config: Whether, and below which topic.
        topics: Where our messages go.
        site: Name of the installation.
        software: Our version.
        heartbeat_s: How often everything retained is repeated, in seconds.
    """

    def __init__(
        self,
        config: DiscoveryConfig,
        topics: Topics,
        *,
        site: str,
        software: str,
        heartbeat_s: float,
    ) -> None:
        self._config = config
        self._topics = topics
        self._site = site
        self._software = software
        self._expire_after_s = math.ceil(_MISSED_HEARTBEATS * heartbeat_s)

    @property
    def birth_topic(self) -> str | None:
        """Where Home Assistant says that it has started; ``None`` when nothing is told."""
        return f"{self._config.prefix}/status" if self._config.enabled else None

    @property
    def prefix(self) -> str:
        """What all descriptions are below: to repeat them when Home Assistant starts."""
        return f"{self._config.prefix}/device/"

    def messages(
        self, cameras: Collection[KnownCamera], announced: Collection[str]
    ) -> tuple[OutboundMessage, ...]:
        """Return the description of the site and of every camera; none when switched off.

        Args:
            cameras: What there is.
            announced: Retained topics that were announced before; tells which zones are gone.
        """
        if not self._config.enabled:
            return ()
        described = (
            self._camera(camera, zones_left_over(self._topics, camera, announced))
            for camera in cameras
        )
        return (self._site_device(), *described)

    def _site_device(self) -> OutboundMessage:
        device_id = f"lsm_{self._site}"
        online: Component = {
            "p": "binary_sensor",
            "unique_id": f"{device_id}_online",
            "name": "Daemon",
            "device_class": "connectivity",
            "entity_category": "diagnostic",
            "state_topic": self._topics.status,
            "payload_on": "online",
            "payload_off": "offline",
        }
        device = self._device(device_id, self._site, "site")
        return self._message(device_id, {"dev": device, "cmps": {"online": online}})

    def _camera(self, camera: KnownCamera, gone: Collection[ZoneId]) -> OutboundMessage:
        device_id = f"lsm_{self._site}_{camera.camera_id}"
        device = self._device(device_id, camera.name or camera.camera_id, "camera")
        device["via_device"] = f"lsm_{self._site}"
        if camera.area:
            device["suggested_area"] = camera.area
        components = self._camera_components(camera, device_id)
        for zone in camera.zones:
            components |= self._zone_components(camera, zone, device_id)
        for zone_id in sorted(gone):
            components |= {f"{zone_id}_{n}": {"p": p} for n, p in _PLATFORMS.items()}
        content: Component = {
            "dev": device,
            "availability": [
                {"topic": self._topics.status},
                {"topic": self._topics.camera_availability(camera.camera_id)},
            ],
            "availability_mode": "all",
            "cmps": components,
        }
        return self._message(device_id, content)

    def _camera_components(self, camera: KnownCamera, device_id: str) -> Component:
        diagnostic = {
            "entity_category": "diagnostic",
            "state_topic": self._topics.camera_health(camera.camera_id),
            "availability": [{"topic": self._topics.status}],
        }
        return {
            "problem": {
                "p": "binary_sensor",
                "unique_id": f"{device_id}_problem",
                "name": "Camera problem",
                "device_class": "problem",
                "value_template": _PROBLEM,
                "json_attributes_topic": self._topics.camera_health(camera.camera_id),
                **diagnostic,
            },
            "tamper": {
                "p": "binary_sensor",
                "unique_id": f"{device_id}_tamper",
                "name": "Camera moved or covered",
                "device_class": "tamper",
                "value_template": _TAMPER,
                **diagnostic,
            },
            "snapshot": {
                "p": "image",
                "unique_id": f"{device_id}_snapshot",
                "name": "Picture",
                "image_topic": self._topics.camera_snapshot(camera.camera_id),
                "content_type": "image/jpeg",
            },
            "event": {
                "p": "event",
                "unique_id": f"{device_id}_event",
                "name": "Waterlogging",
                "event_types": [kind.value for kind in EventKind],
                "state_topic": self._topics.camera_event(camera.camera_id),
            },
        }

    def _zone_components(
        self, camera: KnownCamera, zone: KnownZone, device_id: str
    ) -> Component:
        state_topic = self._topics.zone_state(camera.camera_id, zone.zone_id)
        alert_topic = self._topics.zone_alert(camera.camera_id, zone.zone_id)
        components: Component = {}
        for name, detail in _zone_details(zone).items():
            if name == "water":
                detail |= {"state_topic": alert_topic, "json_attributes_topic": state_topic}
            if zone.zone_id != _ONLY_ZONE:
                detail["name"] = f"{zone.zone_id}: {detail['name']}"
            common: Component = {
                "p": _PLATFORMS[name],
                "unique_id": f"{device_id}_{zone.zone_id}_{name}",
                "state_topic": state_topic,
                "expire_after": self._expire_after_s,
            }
            components[f"{zone.zone_id}_{name}"] = common | detail
        return components

    def _device(self, device_id: str, name: str, model: str) -> Component:
        return {
            "ids": [device_id],
            "name": name,
            "mf": "lsm_monitor",
            "mdl": model,
            "sw": self._software,
        }

    def _message(self, device_id: str, content: Component) -> OutboundMessage:
        origin = {"name": "lsm_monitor", "sw": self._software}
        described = {"dev": content.pop("dev"), "o": origin, **content, "qos": 1}
        text = json.dumps(described, separators=(",", ":"), ensure_ascii=False)
        topic = f"{self.prefix}{device_id}/config"
        return OutboundMessage(topic, text.encode(errors="replace"), qos=1, retain=True)


def _zone_details(zone: KnownZone) -> dict[str, Component]:
    """Return what tells the entities of a zone apart."""
    levels = [level.value for level in WaterLevel if level is not WaterLevel.UNKNOWN]
    return {
        "water": {"name": "Standing water", "device_class": "moisture"},
        "unsafe": {
            "name": "Impassable",
            "device_class": "safety",
            "value_template": _UNSAFE,
        },
        "level": {
            "name": "Water level",
            "device_class": "enum",
            "options": levels,
            "value_template": _LEVEL,
        },
        "fraction": {
            "name": "Water extent",
            "unit_of_measurement": "%",
            "state_class": "measurement",
            "value_template": _FRACTION,
        },
        "depth": {
            "name": "Water depth",
            "device_class": "distance",
            "unit_of_measurement": "cm",
            "state_class": "measurement",
            "value_template": _DEPTH,
            "enabled_by_default": zone.has_depth,
        },
        "trend": {
            "name": "Water trend",
            "device_class": "enum",
            "options": [trend.value for trend in Trend],
            "value_template": _TREND,
        },
    }
