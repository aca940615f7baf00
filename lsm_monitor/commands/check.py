"""``lsm-monitor check``: everything that can be wrong before anything is started."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from lsm_monitor.capture.probe import probe
from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.clock import SystemClock
from lsm_monitor.commands.probe import describe
from lsm_monitor.config.models import CameraConfig, MonitorConfig
from lsm_monitor.errors import SourceError
from lsm_monitor.model.bundle import load_bundle
from lsm_monitor.types import CameraId

_PARALLEL_PROBES = 16


def check_bundle(config: MonitorConfig) -> str:
    """Load the configured bundle and return its name and version.

    Raises:
        BundleError: It is missing, damaged or of another version.
    """
    manifest = load_bundle(config.model.bundle).manifest
    return f"{manifest.name} {manifest.version}"


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
