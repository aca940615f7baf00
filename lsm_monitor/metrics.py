"""Everything the daemon counts, in one place.

Names and labels are part of the public contract (``docs/mqtt.md``, Prometheus section). The
object is made once by ``app`` and handed to whoever counts; prometheus_client's counters are
thread-safe. ``snapshot`` is what the ``stats`` topic publishes.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """The daemon's counters on a registry of their own, so that tests do not share any."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.frames = Counter(
            "lsm_camera_frames",
            "Pictures by how far they got: received, decoded, unusable, dropped (a newer one "
            "took the place in the mailbox), stale (waited too long), inferred, failed (the "
            "model raised).",
            ["camera", "stage"],
            registry=self.registry,
        )
        self.packets_skipped = Counter(
            "lsm_camera_packets_skipped",
            "Packets not used, by reason: not_key, not_due, no_timestamp, not_rising, corrupt, "
            "not_modified (the same snapshot again).",
            ["camera", "reason"],
            registry=self.registry,
        )
        self.reconnects = Counter(
            "lsm_camera_reconnects",
            "Times a camera had to be opened again, by the reason code of the failure.",
            ["camera", "reason"],
            registry=self.registry,
        )
        self.camera_up = Gauge(
            "lsm_camera_up",
            "1 while the camera delivers usable pictures.",
            ["camera"],
            registry=self.registry,
        )
        self.inference_s = Histogram(
            "lsm_inference_duration_seconds",
            "Time from a batch of frames to its masks.",
            registry=self.registry,
        )
        self.frame_age_s = Histogram(
            "lsm_frame_age_seconds",
            "Age of a frame when its decision is made.",
            registry=self.registry,
        )
        self.events = Counter(
            "lsm_events",
            "Events made, by kind and level.",
            ["camera", "type", "level"],
            registry=self.registry,
        )
        self.mqtt_connected = Gauge(
            "lsm_mqtt_connected",
            "1 while the broker has accepted the connection.",
            registry=self.registry,
        )
        self.mqtt_connects = Counter(
            "lsm_mqtt_connects",
            "Attempts to reach the broker, by outcome: accepted, or the reason of the failure.",
            ["outcome"],
            registry=self.registry,
        )
        self.mqtt_published = Counter(
            "lsm_mqtt_published",
            "Messages handed to the broker, by flow: event (from the outbox) or state.",
            ["flow"],
            registry=self.registry,
        )
        self.outbox_messages = Gauge(
            "lsm_outbox_messages",
            "Events that the broker has not acknowledged yet.",
            registry=self.registry,
        )
        self.outbox_oldest_s = Gauge(
            "lsm_outbox_oldest_seconds",
            "Age of the oldest event that the broker has not acknowledged; 0 without one.",
            registry=self.registry,
        )
        self.restarts = Counter(
            "lsm_service_restarts",
            "Services that failed unexpectedly and were started again.",
            ["service"],
            registry=self.registry,
        )

    def snapshot(self) -> dict[str, float]:
        """Return every sample as ``name{label="value"}`` to value; histograms as sum, count."""
        result: dict[str, float] = {}
        for metric in self.registry.collect():
            for sample in metric.samples:
                if sample.name.endswith(("_created", "_bucket")):
                    continue
                labels = ",".join(f'{key}="{value}"' for key, value in sample.labels.items())
                result[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
        return result
