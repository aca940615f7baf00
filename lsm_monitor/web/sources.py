"""What the page shows that other parts of the daemon keep: the seams to them.

Each part that is not built in is stood in for by one that has nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol
from uuid import UUID

from lsm_monitor.types import CameraId, ZoneId
from lsm_monitor.web.models import EvidenceFile, ReadingAnswer


class ReadingsSource(Protocol):
    """Keeps what was read of each zone. Methods may wait for the disk; thread-safe."""

    def readings(
        self, camera_id: CameraId, *, start: datetime, end: datetime, points: int
    ) -> Mapping[ZoneId, Sequence[ReadingAnswer]]:
        """Return at most ``points`` readings of each zone, oldest first.

        Raises:
            StoreError: They cannot be read.
        """
        ...


class EvidenceSource(Protocol):
    """Keeps files about events. Methods may wait for the disk; thread-safe."""

    def files(self, event_id: UUID) -> Sequence[EvidenceFile]:
        """Return what there is of an episode, oldest first."""
        ...

    def path(self, event_id: UUID, name: str) -> Path | None:
        """Return where the file called ``name`` lies; ``None``: there is none, or no longer.

        Args:
            event_id: The episode's.
            name: Comes from whoever asks: anything without a slash.
        """
        ...


class NoReadings:
    """There is no history."""

    def readings(
        self,
        camera_id: CameraId,  # noqa: ARG002 - as the protocol has it
        *,
        start: datetime,  # noqa: ARG002
        end: datetime,  # noqa: ARG002
        points: int,  # noqa: ARG002
    ) -> Mapping[ZoneId, Sequence[ReadingAnswer]]:
        """Return nothing."""
        return {}


class NoEvidence:
    """No evidence is kept."""

    def files(self, event_id: UUID) -> Sequence[EvidenceFile]:  # noqa: ARG002
        """Return nothing."""
        return ()

    def path(self, event_id: UUID, name: str) -> Path | None:  # noqa: ARG002
        """Return nothing."""
        return None
