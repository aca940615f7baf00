"""``lsm-monitor check``: everything that can be wrong before anything is started."""

from __future__ import annotations

import ssl
from concurrent.futures import ThreadPoolExecutor

from lsm_monitor.capture.probe import probe
from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.clock import SystemClock
from lsm_monitor.commands.probe import describe
from lsm_monitor.config.models import CameraConfig, ModelConfig, MonitorConfig, MqttConfig
from lsm_monitor.errors import ConfigError, SourceError
from lsm_monitor.runtime.judging import open_segmenter
from lsm_monitor.types import CameraId

_PARALLEL_PROBES = 16


def check_model(model: ModelConfig) -> str:
    """Open the configured model as the daemon would; return its name, version and backend.

    Raises:
        BundleError: The bundle is missing, damaged or of another version.
        ConfigError: The backend or the device is not there.
    """
    segmenter = open_segmenter(model, max_batch=1)
    segmenter.close()
    identity = segmenter.identity
    return f"{identity.name} {identity.version} on {segmenter.device} ({identity.backend})"


def check_authority(mqtt: MqttConfig) -> None:
    """Check that the broker's certificate authority can be read.

    Raises:
        ConfigError: It cannot.
    """
    if mqtt.ca_file is None:
        return
    try:
        ssl.create_default_context(cafile=mqtt.ca_file)
    except OSError as exc:
        why = exc.strerror or "not a PEM certificate"
        msg = f"mqtt.ca_file: {mqtt.ca_file}: {why}"
        raise ConfigError(msg) from None


def probe_cameras(config: MonitorConfig) -> tuple[list[str], bool]:
    """Open every enabled camera, several at a time.

    Returns:
        One line per camera, in the order of the file, and whether all of them opened.
    """
    cameras = [(name, camera) for name, camera in config.cameras.items() if camera.enabled]
    with ThreadPoolExecutor(_PARALLEL_PROBES, thread_name_prefix="probe") as pool:
        results = list(pool.map(lambda item: _probe_one(*item), cameras))
    return [line for line, _ in results], all(opened for _, opened in results)


def _probe_one(name: str, camera: CameraConfig) -> tuple[str, bool]:
    try:
        spec = SourceSpec.from_config(CameraId(name), camera)
        report = probe(spec, clock=SystemClock())
    except SourceError as exc:
        return f"{name}: {exc.code}: {exc}", False
    return f"{name}: {describe(report)}", True
