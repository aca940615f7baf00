"""Tells the broker what there is, for people and Home Assistant, and what is gone."""

from __future__ import annotations

from collections.abc import Iterator

from lsm_monitor.config.models import MonitorConfig
from lsm_monitor.publish.announced import AnnouncedTopics
from lsm_monitor.publish.homeassistant import HomeAssistant
from lsm_monitor.publish.known import KnownCamera, KnownZone, retained_topics
from lsm_monitor.publish.publisher import Publisher
from lsm_monitor.publish.topics import Topics
from lsm_monitor.runtime.live_settings import LiveSettings
from lsm_monitor.types import CameraId, OutboundMessage, ZoneId
from lsm_monitor.water.zones import WHOLE_PICTURE


class Announcer:
    """Keeps the broker's retained topics in step with what is watched.

    Args:
        publisher: Publishes.
        announced: What the broker may have of us, before this.
        topics: Where.
        home_assistant: Describes cameras to Home Assistant.
    """

    def __init__(
        self,
        *,
        publisher: Publisher,
        announced: AnnouncedTopics,
        topics: Topics,
        home_assistant: HomeAssistant,
    ) -> None:
        self._publisher = publisher
        self._announced = announced
        self._topics = topics
        self._home_assistant = home_assistant

    def announce(self, settings: LiveSettings) -> None:
        """Publish what there is now, and remove what there is no more."""
        cameras = [_known(name, settings.config) for name in settings.config.cameras]
        contexts = settings.known().contexts
        before = self._announced.topics
        descriptions = self._home_assistant.messages(cameras, before)
        topics = retained_topics(self._topics, cameras, contexts)
        self._publisher.watch(topics | {message.topic for message in descriptions})
        for message in (*descriptions, *self._settings(settings)):
            self._publisher.retain(message)

    def repeat_descriptions(self) -> None:
        """Describe everything again: Home Assistant has just started."""
        self._publisher.repeat(self._home_assistant.prefix)

    def _settings(self, settings: LiveSettings) -> Iterator[OutboundMessage]:
        """Yield what operators have set by command, and what follows for a camera."""
        config: MonitorConfig = settings.config
        for name, camera in config.cameras.items():
            if not camera.enabled:  # nobody else says so of one that is off since the start
                topic = self._topics.camera_availability(CameraId(name))
                yield OutboundMessage(topic, b"offline", qos=1, retain=True)
            for setting, value in (
                ("enabled", "ON" if camera.enabled else "OFF"),
                ("mode", camera.mode),
                ("profile", settings.profile_of(CameraId(name)) or "default"),
            ):
                topic = self._topics.camera_setting(CameraId(name), setting)
                yield OutboundMessage(topic, value.encode(), qos=1, retain=True)
        for context in sorted(settings.known().contexts):
            value = "ON" if context in settings.contexts else "OFF"
            topic = self._topics.context(context)
            yield OutboundMessage(topic, value.encode(), qos=1, retain=True)


def _known(name: str, config: MonitorConfig) -> KnownCamera:
    camera = config.cameras[name]
    deep = {camera.zone_of(gauge_name, gauge) for gauge_name, gauge in camera.gauges.items()}
    zones = [
        KnownZone(ZoneId(zone), has_depth=zone in deep)
        for zone in camera.zones or [WHOLE_PICTURE.zone_id]
    ]
    place = config.cap.areas.get(name) if config.cap else None
    return KnownCamera(
        CameraId(name),
        zones,
        name=camera.title or "",
        area=place.description if place else "",
        enabled=camera.enabled,
    )
