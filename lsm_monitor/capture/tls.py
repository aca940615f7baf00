"""Whether a camera's certificate is checked, and against which authority."""

from __future__ import annotations

import socket
import ssl
from urllib.parse import urlsplit

from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.errors import SourceOpenError
from lsm_monitor.types import HealthCode


def tls_context(spec: SourceSpec) -> ssl.SSLContext:
    """Return how to talk TLS with the camera.

    Raises:
        SourceOpenError: ``tls_ca_file`` cannot be read.
    """
    if not spec.tls_verify:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        # Without a check nothing is lost by it: old cameras have short keys and old versions.
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        return context
    why = "not a PEM certificate"
    try:
        return ssl.create_default_context(cafile=spec.tls_ca_file)
    except ssl.SSLError:
        pass
    except OSError as exc:
        why = exc.strerror or why
    msg = (
        f"camera '{spec.camera_id}': cannot use {spec.tls_ca_file} ({why}); "
        f"check 'cameras.{spec.camera_id}.tls_ca_file'"
    )
    raise SourceOpenError(msg, HealthCode.NOT_FOUND)


def ffmpeg_tls_options(spec: SourceSpec) -> dict[str, str]:
    """Return FFmpeg's options for the same; it knows no default authority of the system."""
    if not spec.tls_verify:
        return {}
    authority = spec.tls_ca_file or ssl.get_default_verify_paths().cafile
    options = {"tls_verify": "1"}
    if authority:
        options["ca_file"] = str(authority)
    return options


def certificate_problem(spec: SourceSpec) -> str | None:
    """Return why the camera's certificate is not trusted; ``None`` when it is not that.

    Connects once more: FFmpeg says "input/output error" and no more.
    """
    parts = urlsplit(spec.url)
    context = tls_context(spec)
    address = (parts.hostname or "", parts.port or 322)
    try:
        with (
            socket.create_connection(address, timeout=spec.open_timeout_s) as connection,
            context.wrap_socket(connection, server_hostname=parts.hostname),
        ):
            return None
    except ssl.SSLCertVerificationError as exc:
        return f"its certificate is not trusted: {exc.verify_message}"
    except (OSError, ValueError):
        return None
