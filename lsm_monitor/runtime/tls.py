"""The HTTP port's certificate: checked at the start, taken over when somebody renews it."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from lsm_monitor.config.models import HttpConfig
from lsm_monitor.errors import ConfigError

logger = logging.getLogger(__name__)


class Certificate:
    """A certificate and its key, ready for a server.

    Attributes:
        context: What connections are made with; those that are open keep what they have.

    Raises:
        ConfigError: The files cannot be used; the text says which, and why.
    """

    def __init__(self, chain: Path, key: Path | None) -> None:
        self._chain = chain
        self._key = key
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._seen = self._stamp()
        self._load(self.context)

    @classmethod
    def of(cls, config: HttpConfig) -> Certificate | None:
        """Return the configured certificate; ``None`` when there is none.

        Raises:
            ConfigError: See the class.
        """
        if config.tls_cert_file is None:
            return None
        return cls(config.tls_cert_file, config.tls_key_file)

    def refresh(self) -> None:
        """Take over other files; a pair that does not fit changes nothing and is logged."""
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))  # both, before either counts
            self._load(self.context)
        except ConfigError as exc:
            logger.error("the old certificate stays: %s", exc)  # noqa: TRY400 - not our fault
        else:
            logger.info("http: took over the certificate %s", self._chain)

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            # Without the password, OpenSSL would ask the terminal for that of an encrypted key.
            context.load_cert_chain(self._chain, self._key, password="")
        except (OSError, ssl.SSLError) as exc:
            msg = (
                f"http.tls_cert_file {self._chain}, key {self._key or 'in the same file'}: "
                f"cannot be used ({_why(exc)}); both must be PEM, readable for the daemon's "
                "user, and belong together; the key must not be encrypted"
            )
            raise ConfigError(msg) from None

    def _stamp(self) -> tuple[tuple[int, int] | None, ...]:
        return tuple(_stamp_of(path) for path in (self._chain, self._key) if path is not None)


def _stamp_of(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


def _why(exc: OSError) -> str:
    if isinstance(exc, ssl.SSLError):
        return (exc.reason or "not PEM").lower().replace("_", " ")
    return exc.strerror or type(exc).__name__
