"""What may be asked of the daemon by MQTT; ``command_parser`` makes it of a message."""

from __future__ import annotations

from dataclasses import dataclass

from lsm_monitor.config.watching import Mode
from lsm_monitor.types import Acknowledgement, CameraId, Feedback


@dataclass(frozen=True, slots=True)
class Reload:
    """Read the configuration again."""


@dataclass(frozen=True, slots=True)
class TakeSnapshot:
    """Publish a picture of a camera now."""

    camera_id: CameraId


@dataclass(frozen=True, slots=True)
class SetEnabled:
    """Watch a camera, or leave it alone; ``None``: as configured."""

    camera_id: CameraId
    enabled: bool | None


@dataclass(frozen=True, slots=True)
class SetMode:
    """Look at a camera in another way; ``None``: as configured."""

    camera_id: CameraId
    mode: Mode | None


@dataclass(frozen=True, slots=True)
class SetProfile:
    """Give a camera the settings of another profile; ``None``: as configured."""

    camera_id: CameraId
    profile: str | None


@dataclass(frozen=True, slots=True)
class SetContext:
    """Say that a context holds, such as a rain warning, or that it is over.

    Attributes:
        context: Its name.
        active: Whether it holds.
        for_s: It ends by itself after so many seconds; ``None``: when it is said to.
    """

    context: str
    active: bool
    for_s: float | None


Command = (
    Reload
    | TakeSnapshot
    | SetEnabled
    | SetMode
    | SetProfile
    | SetContext
    | Feedback
    | Acknowledgement
)


@dataclass(frozen=True, slots=True)
class Known:
    """The names that a command may use now."""

    cameras: frozenset[str] = frozenset()
    profiles: frozenset[str] = frozenset()
    contexts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Request:
    """A message that was understood.

    Attributes:
        kind: What is asked for, one word; for metrics and replies.
        command: The same with its values; ``None`` when it is refused.
        refusal: Why it is refused, one sentence; empty when it is not.
        correlation_id: What the sender wants to read in the reply, if anything.
    """

    kind: str
    command: Command | None
    refusal: str
    correlation_id: str | None
