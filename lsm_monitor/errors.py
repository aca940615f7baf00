"""The exceptions that lsm_monitor raises on purpose.

LsmMonitorError
├── ConfigError               the operator must change the configuration; never retried
│   ├── ConfigChangedError        a file is not what it was when the edit was prepared
│   └── ConfigNotWritableError    a file is not ours to write
├── BundleError               a model bundle is missing, damaged or of another version
├── WeightsError              an official checkpoint is missing, or not what it must be
│   └── WeightsUnavailableError   it cannot be fetched now; trying again may help
├── SourceError               one camera: it reconnects by itself, for ever
│   ├── SourceOpenError
│   ├── SourceStalledError
│   └── SourceEndedError
├── ClipError                 a clip cannot be cut; the event goes without
├── InferenceError            one batch: counted and skipped
├── StoreError                the state folder cannot be read or written
├── CameraMemoryError         what a camera had learnt is refused; it learns anew
├── PictureError              a picture file cannot be read or written; the text names it
├── BrokerError               the MQTT broker cannot be reached or refuses us; retried
├── CommandError              a command that came by MQTT cannot be obeyed now; answered
├── HttpPortError             the port cannot be had; retried, the watch goes on without
├── DaemonUnreachableError    `status` got no answer from a running daemon
└── RestartLimitExceededError the process exits; systemd starts it again
"""

from __future__ import annotations

from lsm_monitor.types import HealthCode


class LsmMonitorError(Exception):
    """Base of every error raised on purpose by this project."""


class ConfigError(LsmMonitorError):
    """The configuration cannot be used as it is; the text has one line per problem."""


class ConfigChangedError(ConfigError):
    """A file says something else than when the edit was prepared; nothing was changed."""


class ConfigNotWritableError(ConfigError):
    """A file of the configuration cannot be written by this process; nothing was changed."""


class BundleError(LsmMonitorError):
    """A model bundle cannot be used; the text names the file and the remedy."""


class WeightsError(LsmMonitorError):
    """An official checkpoint cannot be used; the text names the file and the remedy."""


class WeightsUnavailableError(WeightsError):
    """An official checkpoint cannot be fetched now: the network, a proxy, the server."""


class SourceError(LsmMonitorError):
    """A camera's video failed.

    Args:
        message: One sentence for a person. Must be free of credentials: it reaches logs
            and MQTT as it is.
        code: Reason code for machines.
    """

    def __init__(self, message: str, code: HealthCode) -> None:
        super().__init__(message)
        self.code = code


class SourceOpenError(SourceError):
    """The source could not be opened."""


class SourceStalledError(SourceError):
    """The source is open, but no picture came for too long."""


class SourceEndedError(SourceError):
    """The source closed the connection, or the file is over."""


class ClipError(LsmMonitorError):
    """A clip cannot be made of a camera's packets; the text stands in the sidecar."""


class InferenceError(LsmMonitorError):
    """A batch of frames could not be segmented."""


class StoreError(LsmMonitorError):
    """The state folder cannot be read or written; the text names the path and the remedy."""


class CameraMemoryError(LsmMonitorError):
    """What a camera had learnt about its view is damaged, foreign or of another version."""


class PictureError(LsmMonitorError):
    """A picture file cannot be read or written; the text names the file."""


class BrokerError(LsmMonitorError):
    """The broker cannot be reached, refuses us, or hung up.

    Args:
        message: One sentence for a person, free of credentials.
        reason: The cause as one word, for ``lsm_mqtt_connects_total``.
    """

    def __init__(self, message: str, reason: str = "failed") -> None:
        super().__init__(message)
        self.reason = reason


class CommandError(LsmMonitorError):
    """A command cannot be obeyed; the text is the answer and free of credentials."""


class HttpPortError(LsmMonitorError):
    """The HTTP port cannot be had; the text names the key and the remedy."""


class DaemonUnreachableError(LsmMonitorError):
    """No daemon answers on its HTTP port; the text says how to look for it."""


class RestartLimitExceededError(LsmMonitorError):
    """A service kept failing; a fresh process is the only thing left to try."""

    def __init__(self, service: str, restarts: int, within_s: float) -> None:
        super().__init__(
            f"service {service!r} failed {restarts} times within {within_s:g} s; giving up"
        )
        self.service = service
