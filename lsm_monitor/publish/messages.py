"""Whole MQTT messages: what goes where, how surely, and whether it stays.

One quality of service per flow, because order is not kept between them: QoS 1 for everything
that somebody may act on, QoS 0 for statistics.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from lsm_monitor.config.delivery import CapConfig
from lsm_monitor.publish.cap import cap_alert
from lsm_monitor.publish.payloads import (
    Provenance,
    event_payload,
    health_payload,
    info_payload,
    state_payload,
    worst_state,
)
from lsm_monitor.publish.topics import Topics
from lsm_monitor.types import (
    CameraHealth,
    EventKind,
    HealthState,
    ModelIdentity,
    OutboundMessage,
    PromisedEvidence,
    WaterEvent,
    WaterLevel,
    WaterState,
)
from lsm_monitor.water.state import EPISODE_LEVELS


class Messages:
    """Makes the messages of one installation.

    Args:
        topics: Where they go.
        provenance: Who sends them.
        cap: How to tell every event in CAP, too; ``None``: not at all.
        state_expires_s: How long a state counts if it is not repeated, in seconds: the level
             that a dead daemon has left must not live on. ``None``: for ever.
    """

    def __init__(
        self,
        topics: Topics,
        provenance: Provenance,
        cap: CapConfig | None = None,
        *,
        state_expires_s: float | None = None,
    ) -> None:
        self._topics = topics
        self._cap = cap
        self._provenance = provenance
        self._renaming = threading.Lock()
        self._site = provenance.site
        self._state_expires_s = state_expires_s

    def status(self, *, online: bool) -> OutboundMessage:
        """Return birth or last will: whether the daemon runs."""
        return _retained(self._topics.status, _availability(online=online))

    def use_config(self, digest: str) -> None:
        """Name this configuration in every message from now on; thread-safe."""
        with self._renaming:
            self._provenance = replace(self._provenance, config=digest)

    def use_model(self, model: ModelIdentity) -> None:
        """Name this model in every message from now on; thread-safe."""
        with self._renaming:
            self._provenance = replace(self._provenance, model=model)

    def info(
        self, *, device: str, started_at: datetime, reason: str, problem: str | None = None
    ) -> OutboundMessage:
        """Return what runs here.

        Args:
            device: What the model runs on.
            started_at: When the daemon was started, timezone-aware UTC.
            reason: Why it is told: ``start`` or ``reload``.
            problem: Why the newest configuration is not the one in use; ``None`` when it is.
        """
        payload = info_payload(
            self._provenance,
            device=device,
            started_at=started_at,
            reason=reason,
            problem=problem,
        )
        return _retained(self._topics.info, payload)

    def stats(self, payload: bytes) -> OutboundMessage:
        """Return everything that is counted; ``payload`` is what ``/api/stats`` answers."""
        return OutboundMessage(self._topics.stats, payload, qos=0, retain=False)

    def health(self, health: CameraHealth) -> tuple[OutboundMessage, ...]:
        """Return a camera's health, and whether decisions can be made for it."""
        online = health.state is HealthState.USABLE
        return (
            _retained(
                self._topics.camera_health(health.camera_id),
                health_payload(health, site=self._site),
            ),
            _retained(
                self._topics.camera_availability(health.camera_id), _availability(online=online)
            ),
        )

    def zone_state(self, state: WaterState, sent_at: datetime) -> tuple[OutboundMessage, ...]:
        """Return the belief about a zone and, unless it is ``unknown``, the alert.

        Blindness changes no alert: what the broker keeps stands until something is seen.
        """
        topic = self._topics.zone_state(state.camera_id, state.zone_id)
        payload = state_payload(state, site=self._site, sent_at=sent_at)
        message = _retained(topic, payload, expires_s=self._state_expires_s)
        if state.level is WaterLevel.UNKNOWN:
            return (message,)
        topic = self._topics.zone_alert(state.camera_id, state.zone_id)
        return message, _retained(topic, b"ON" if state.level in EPISODE_LEVELS else b"OFF")

    def camera_state(self, states: Sequence[WaterState], sent_at: datetime) -> OutboundMessage:
        """Return the state of the worst of one camera's zones; at least one is needed."""
        worst = worst_state(states)
        return _retained(
            self._topics.camera_state(worst.camera_id),
            state_payload(worst, site=self._site, sent_at=sent_at),
            expires_s=self._state_expires_s,
        )

    def event(
        self,
        event: WaterEvent,
        *,
        health: CameraHealth,
        sent_at: datetime,
        previous: bytes | None = None,
        evidence: PromisedEvidence | None = None,
    ) -> tuple[OutboundMessage, ...]:
        """Return the event, its copy that stays while the episode is open, and its CAP alert.

        All go through the outbox. After the last event the copy is removed: an empty
        retained payload deletes it at the broker.

        Args:
            event: What happened.
            health: The camera's health at that time.
            sent_at: When it is written to the outbox.
            previous: The event before it in the episode, as it was sent.
            evidence: Files that will show it.
        """
        payload = event_payload(
            event,
            health=health,
            provenance=self._provenance,
            sent_at=sent_at,
            evidence=evidence or PromisedEvidence(),
        )
        kept = b"" if event.kind is EventKind.CLOSE else payload
        messages = (
            OutboundMessage(
                self._topics.camera_event(event.state.camera_id), payload, qos=1, retain=False
            ),
            _retained(self._topics.active_event(event.episode.event_id), kept),
        )
        if self._cap is None:
            return messages
        earlier = json.loads(previous) if previous else None
        alert = cap_alert(json.loads(payload), earlier, self._cap)
        return (*messages, OutboundMessage(self._topics.cap, alert, qos=1, retain=False))


def _retained(topic: str, payload: bytes, *, expires_s: float | None = None) -> OutboundMessage:
    return OutboundMessage(topic, payload, qos=1, retain=True, expires_s=expires_s)


def _availability(*, online: bool) -> bytes:
    return b"online" if online else b"offline"
