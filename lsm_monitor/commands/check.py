"""``lsm-monitor check``: everything that can be wrong before anything is started."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

from lsm_engines.machine import this_machine, usable_cores
from lsm_monitor.config.intervals import interval_s
from lsm_monitor.config.models import HttpConfig, MonitorConfig, MqttConfig
from lsm_monitor.config.secrets import is_reference, revealed
from lsm_monitor.errors import ConfigError
from lsm_monitor.inference.capacity import USABLE_SHARE, busy_share, read_capacity
from lsm_monitor.runtime.judging import check_road_shares, open_segmenter
from lsm_monitor.runtime.tls import Certificate
from lsm_monitor.types import ModelIdentity
from lsm_monitor.web.users import read_users


def check_model(config: MonitorConfig, progress: Callable[[str], None]) -> ModelIdentity:
    """Open the configured model exactly as the daemon would; return what it is.

    Args:
        config: Whose model, for whose cameras.
        progress: Told in a line what is being waited for, if plans must be built.

    Raises:
        BundleError: The bundle is missing, damaged or of another version.
        ConfigError: The backend or the device is not there, or the model cannot do what a
            camera asks for.
    """
    model = config.model
    segmenter = open_segmenter(model, max_batch=model.max_batch, on_progress=progress)
    try:
        check_road_shares(config.cameras, segmenter)
    finally:
        segmenter.close()
    return segmenter.identity


def check_http(http: HttpConfig) -> None:
    """Read the users file and the certificate, if the page has any.

    Raises:
        ConfigError: One of them cannot be used.
    """
    if http.enabled:
        Certificate.of(http)
        if http.users_file is not None:
            read_users(http.users_file)


def check_load(config: MonitorConfig, model: ModelIdentity, folder: Path | None) -> str | None:
    """Compare what the cameras ask for with what this machine can do; nothing is measured.

    Args:
        config: Whose cameras.
        model: What judges them.
        folder: Where ``lsm-engines bench`` left its result.

    Returns:
        A warning, or a hint that nothing is known; ``None`` when it is enough.
    """
    rate = None if folder is None else _measured_rate(config, model, folder)
    if rate is None:
        wanted_per_s = sum(1.0 / each for each in _intervals_s(config, triggered=False))
        return (
            f"the cameras ask for {wanted_per_s:.2g} pictures/s; whether this machine can "
            "judge so many is not known, run: lsm-engines bench"
        )
    for when, key, triggered in (
        ("", "interval_s", False),
        ("while every trigger is on, ", "fast_interval_s", True),
    ):
        intervals_s = _intervals_s(config, triggered=triggered)
        busy = busy_share(rate, intervals_s, cores=usable_cores())
        if busy > USABLE_SHARE:
            wanted_per_s = sum(1.0 / each for each in intervals_s)
            return (
                f"warning: {when}{len(intervals_s)} cameras that ask for {wanted_per_s:.3g} "
                f"pictures/s keep this machine {busy:.0%} busy, and {USABLE_SHARE:.0%} can be "
                f"planned with: they may be judged less often than '{key}' says; raise it, or "
                "use fewer cameras"
            )
    return None


def _measured_rate(config: MonitorConfig, model: ModelIdentity, folder: Path) -> float | None:
    """Return the pictures per second that were measured here for this model, if any were."""
    capacity = read_capacity(folder)
    if (
        capacity is None
        or capacity.machine != str(this_machine())
        or capacity.model != f"{model.name} {model.version}"
        or config.model.threads != 0  # not as it was measured
    ):
        return None
    return capacity.pictures_per_second.get(model.backend)


def _intervals_s(config: MonitorConfig, *, triggered: bool) -> list[float]:
    """Return the interval of each enabled camera while all triggers are on, or none is."""
    return [
        interval_s(
            camera,
            pending=False,
            triggered=triggered and config.trigger_of(camera) is not None,
            episode_open=False,
        )
        for camera in config.cameras.values()
        if camera.enabled
    ]


def check_certificates(mqtt: MqttConfig) -> None:
    """Check that the broker's certificate authority and our own certificate can be used.

    Raises:
        ConfigError: One of them cannot.
    """
    if mqtt.ca_file is not None:
        try:
            ssl.create_default_context(cafile=mqtt.ca_file)
        except OSError as exc:
            why = exc.strerror or "not a PEM certificate"
            msg = f"mqtt.ca_file: {mqtt.ca_file}: {why}"
            raise ConfigError(msg) from None
    password = "" if mqtt.key_password is None else mqtt.key_password.get_secret_value()
    if mqtt.cert_file is None or is_reference(password):  # then only the service knows it
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(
            mqtt.cert_file, mqtt.key_file, password
        )
    except (ssl.SSLError, ValueError):
        why = "certificate, key and password do not belong together, or are not PEM"
    except OSError as exc:
        why = str(exc.strerror)
    else:
        return
    key = "" if mqtt.key_file is None else f" with {mqtt.key_file}"
    msg = f"mqtt.cert_file: {mqtt.cert_file}{key}: {why}"
    raise ConfigError(msg)


def check_credentials(config: MonitorConfig) -> str | None:
    """Name the credentials that only the service can read; ``None`` when there are none."""
    unread = sorted({text for text in revealed(config) if text.startswith("${cred:")})
    if not unread:
        return None
    return (
        f"not looked at: {', '.join(unread)}, which the service alone is given; as root: "
        "CREDENTIALS_DIRECTORY=/etc/lsm-monitor/credentials lsm-monitor check ..."
    )
