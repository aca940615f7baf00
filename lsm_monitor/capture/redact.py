"""Text without credentials.

Third parties put whole addresses into their messages, so whatever goes to a log is cleaned
here. Errs towards removing too much: a message that lost a harmless query is a nuisance, a
password in a log is an incident.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

REDACTED = "***"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
# Some recorders want user and password in the path:
# rtsp://192.0.2.10/user=admin_password=tlJwpbo6_channel=1_stream=0.sdp
_PASSWORD_IN_PATH = re.compile(r"(?i)(pass(?:word|wd)?|pwd)=[^/&]*")


def redact_url(text: str) -> str:
    """Return ``text`` with the userinfo, query and fragment of every address in it removed.

    Not only well-formed addresses: everything up to the last ``@`` of a token counts as
    userinfo, because a password that nobody percent-encoded may contain ``/`` and ``?``. A
    password with a blank in it is beyond this function; see :class:`Redactor`.
    """
    return _URL.sub(lambda match: _without_credentials(match[0]), text)


def _without_credentials(token: str) -> str:
    scheme, rest = token.split("://", 1)
    rest = rest.rpartition("@")[2]
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return f"{scheme}://{REDACTED}"
    if not parts.hostname:
        return f"{scheme}://{REDACTED}"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    path = _PASSWORD_IN_PATH.sub(rf"\1={REDACTED}", parts.path)
    return f"{scheme}://{host}{port}{path}"


class Redactor:
    """Cleans text of addresses' credentials and of known secrets.

    A secret is found raw, percent-encoded in whole or in part and in either case, and escaped
    as Python's ``repr`` and JSON write it.

    Args:
        secrets: Passwords as the operator wrote them; empty ones are ignored.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        # Longest first: a secret that contains another must go as a whole.
        known = sorted(filter(None, secrets), key=len, reverse=True)
        patterns = [_pattern(secret) for secret in known]
        self._secrets = re.compile("|".join(patterns)) if patterns else None

    def redact(self, text: str) -> str:
        """Return ``text`` without credentials."""
        # Secrets first: one with a blank in it would hide the rest of its address. And last:
        # a host's name is written in lower case, which may be what a secret looks like.
        return self._without_secrets(redact_url(self._without_secrets(text)))

    def _without_secrets(self, text: str) -> str:
        return text if self._secrets is None else self._secrets.sub(REDACTED, text)


def _pattern(secret: str) -> str:
    """Return a pattern that matches ``secret`` with each character encoded or not."""
    return "".join(f"(?:{_character_pattern(character)})" for character in secret)


def _character_pattern(character: str) -> str:
    # surrogatepass: a lone surrogate is no valid UTF-8, but may stand in a Python string.
    octets = character.encode("utf-8", "surrogatepass")
    percent = "".join(f"%{octet:02x}" for octet in octets)
    spellings = {
        character,
        repr(character)[1:-1],
        json.dumps(character)[1:-1],
        "+" if character == " " else character,
        f"\\{character}" if character in "'\"" else character,
    }
    # Longest first: "\\\\" must not be taken for a single "\\" that leaves its twin behind.
    alternatives = [re.escape(s) for s in sorted(spellings, key=len, reverse=True)]
    return "|".join([f"(?i:{re.escape(percent)})", *alternatives])
