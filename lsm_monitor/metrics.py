"""Everything the daemon counts, in one place.

Names and labels are part of the public contract (``docs/mqtt.md``, Prometheus section). The
object is made once by ``app`` and handed to whoever counts; prometheus_client's counters are
thread-safe. ``snapshot`` is what the ``stats`` topic publishes.
"""

from __future__ import annotations

from math import isfinite

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
        self.capture_processes = Gauge(
            "lsm_capture_processes",
            "Processes that hold cameras.",
            registry=self.registry,
        )
        self.capture_process_ends = Counter(
            "lsm_capture_process_ends",
            "Capture processes that were replaced: hung (a camera hangs in native code), "
            "silent, died; or not_started (the machine gave none).",
            ["reason"],
            registry=self.registry,
        )
        self.interval_stretch = Gauge(
            "lsm_interval_stretch_ratio",
            "How much longer than configured the cameras' intervals are, for the machine to "
            "keep up; 1 when it does.",
            registry=self.registry,
        )
        self.interval_stretch.set(1)
        self.inference_s = Histogram(
            "lsm_inference_duration_seconds",
            "Time of a batch by stage: preprocess, encoder, decoder (small model and prompts, "
            "too), post; their sum is from its frames to its masks.",
            ["stage"],
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
        self.alerts_suppressed = Counter(
            "lsm_alerts_suppressed",
            "Changes of a level inside an episode that were not told, by reason: rate (good "
            "news too soon after the event before).",
            ["reason"],
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
            "Messages handed to the broker, by flow: event (from the outbox), state or notice.",
            ["flow"],
            registry=self.registry,
        )
        self.mqtt_refused = Counter(
            "lsm_mqtt_refused",
            "Messages that the broker will never take, by flow and by its reason.",
            ["flow", "reason"],
            registry=self.registry,
        )
        self.commands = Counter(
            "lsm_commands",
            "Commands that came by MQTT, by what became of them: done, refused, failed, "
            "limited (too many), dropped (queue full), ignored (not a command).",
            ["command", "outcome"],
            registry=self.registry,
        )
        self.notices_dropped = Counter(
            "lsm_mqtt_notices_dropped",
            "Answers to commands and pictures that no connection came for in time.",
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
        self.outbox_durable = Gauge(
            "lsm_outbox_durable",
            "1 while events reach the disk before they are sent, 0 while only memory has them.",
            registry=self.registry,
        )
        self.outbox_durable.set(1)
        self.outbox_unsaved = Gauge(
            "lsm_outbox_unsaved_events",
            "Events in the queue 'unsaved': in memory, because the disk refuses them.",
            registry=self.registry,
        )
        self.outbox_dropped = Counter(
            "lsm_outbox_dropped",
            "Messages given up for want of room: size (samples, on disk), memory.",
            ["reason"],
            registry=self.registry,
        )
        self.outbox_dead = Counter(
            "lsm_outbox_dead",
            "Messages that became dead letters: refused (by the broker), expired.",
            ["reason"],
            registry=self.registry,
        )
        self.restarts = Counter(
            "lsm_service_restarts",
            "Services that failed unexpectedly and were started again.",
            ["service"],
            registry=self.registry,
        )
        self.build_info = Gauge(
            "lsm_build_info",
            "Always 1; the labels say what runs.",
            ["version", "model", "backend"],
            registry=self.registry,
        )
        self.camera_health = Gauge(
            "lsm_camera_health",
            "1 for each reason why the camera cannot be judged now, 0 for past reasons.",
            ["camera", "code"],
            registry=self.registry,
        )
        self.last_frame_at = Gauge(
            "lsm_camera_last_frame_timestamp_seconds",
            "When the newest usable picture was taken, as Unix time.",
            ["camera"],
            registry=self.registry,
        )
        self.keyframe_interval_s = Gauge(
            "lsm_camera_keyframe_interval_seconds",
            "Longest time between two key frames since it was opened; 0: not known yet.",
            ["camera"],
            registry=self.registry,
        )
        self.zone_water_ratio = Gauge(
            "lsm_zone_water_ratio",
            "Smoothed share of the zone that is water; NaN while it cannot be seen.",
            ["camera", "zone"],
            registry=self.registry,
        )
        self.zone_level = Gauge(
            "lsm_zone_level",
            "1 for the zone's level, 0 for the others it had.",
            ["camera", "zone", "level"],
            registry=self.registry,
        )
        self.config_reloaded_at = Gauge(
            "lsm_config_reload_success_timestamp_seconds",
            "When the configuration in use was read, as Unix time.",
            registry=self.registry,
        )
        self.config_reload_ok = Gauge(
            "lsm_config_last_reload_successful",
            "0 when the newest file was refused and the one before it is still in use.",
            registry=self.registry,
        )
        self.queue_depth = Gauge(
            "lsm_queue_depth",
            "What waits: frames (for the model), states and notices (for the broker), "
            "evidence, history and hard_frames (for the disk).",
            ["queue"],
            registry=self.registry,
        )
        self.watchdog_feeds = Counter(
            "lsm_watchdog_feeds",
            "Times systemd was told that work moves.",
            registry=self.registry,
        )
        self.resident_bytes = Gauge(
            "lsm_resident_memory_bytes",
            "Memory in use: daemon (this process), children (all that it started, together).",
            ["process"],
            registry=self.registry,
        )
        self.gpu_memory_used_bytes = Gauge(
            "lsm_gpu_memory_used_bytes",
            "Memory in use on the GPU of the model, by every program there; 0 on a CPU.",
            registry=self.registry,
        )
        self._count_what_is_kept()
        self._count_the_page()

    def _count_what_is_kept(self) -> None:
        """Define the metrics of what the daemon keeps for people."""
        self.history_writable = Gauge(
            "lsm_history_writable",
            "1 while readings reach the history's file.",
            registry=self.registry,
        )
        self.history_dropped = Counter(
            "lsm_history_dropped",
            "Readings given up because the queue 'history' was full: the disk refuses them.",
            registry=self.registry,
        )
        self.evidence = Counter(
            "lsm_evidence",
            "Evidence by kind (pictures, main, clip) and what became of it: stored, failed "
            "(the disk refused), dropped (queue full), missing (could not be had).",
            ["kind", "outcome"],
            registry=self.registry,
        )
        self.evidence_bytes = Gauge(
            "lsm_evidence_bytes", "What all evidence takes on disk.", registry=self.registry
        )
        self.evidence_removed = Counter(
            "lsm_evidence_removed",
            "Episodes whose evidence was removed: age, size.",
            ["reason"],
            registry=self.registry,
        )
        self.evidence_storable = Gauge(
            "lsm_evidence_storable",
            "1 while the disk takes evidence, 0 while it refuses; alerts go out in any case.",
            registry=self.registry,
        )
        self.evidence_storable.set(1)
        self.hard_frames = Counter(
            "lsm_hard_frames",
            "Doubtful pictures, by what became of them: stored, dropped (queue full), failed "
            "(the disk refuses).",
            ["outcome"],
            registry=self.registry,
        )

    def _count_the_page(self) -> None:
        """Define the metrics of the operators' page."""
        self.pictures = Counter(
            "lsm_gallery_pictures",
            "Judged pictures offered to the page, by what became of them: kept, skipped "
            "(nobody looks), dropped (a newer one took the place, or too many waited).",
            ["outcome"],
            registry=self.registry,
        )
        self.stream_clients = Gauge(
            "lsm_http_streams",
            "Pages that are told every change.",
            registry=self.registry,
        )
        self.stream_dropped = Counter(
            "lsm_http_stream_dropped",
            "News that a page did not get, by reason: coalesced (a newer one about the same "
            "thing took the place), full, refused (too many pages).",
            ["reason"],
            registry=self.registry,
        )
        self.logins = Counter(
            "lsm_http_logins",
            "Attempts to log in on the page: ok, refused (name or password), limited (too "
            "many).",
            ["outcome"],
            registry=self.registry,
        )
        self.config_edits = Counter(
            "lsm_config_edits",
            "What became of geometries to be saved from the page: saved, changed (by somebody "
            "else meanwhile), read_only, refused, expired.",
            ["outcome"],
            registry=self.registry,
        )

    def forget_camera(self, camera_id: str) -> None:
        """Drop every sample of a camera that is not watched any more."""
        for metric in (
            self.frames,
            self.packets_skipped,
            self.reconnects,
            self.camera_up,
            self.camera_health,
            self.last_frame_at,
            self.keyframe_interval_s,
            self.events,
            self.zone_water_ratio,
            self.zone_level,
        ):
            metric.remove_by_labels({"camera": camera_id})

    def forget_zone(self, camera_id: str, zone_id: str) -> None:
        """Drop every sample of a zone that its camera no longer has."""
        for metric in (self.zone_water_ratio, self.zone_level):
            metric.remove_by_labels({"camera": camera_id, "zone": zone_id})

    def snapshot(self) -> dict[str, float]:
        """Return every sample as ``name{label="value"}`` to value; histograms as sum, count.

        What is not a number at the moment is left out: JSON could not say it.
        """
        result: dict[str, float] = {}
        for metric in self.registry.collect():
            for sample in metric.samples:
                if sample.name.endswith(("_created", "_bucket")) or not isfinite(sample.value):
                    continue
                labels = ",".join(f'{key}="{value}"' for key, value in sample.labels.items())
                result[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
        return result
