"""Answers to an HTTP server that asks who we are (RFC 7617, RFC 7616): pure functions.

Digest is preferred when both are offered: it does not show the password to the network.
Hashes are chosen by the server; MD5 is what nearly every camera asks for.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

_PARAMETER = re.compile(r'([a-zA-Z-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_SCHEME = re.compile(r"(?i)(?:^|,)\s*(basic|digest)(?=\s|,|$)")
_ALGORITHMS = frozenset({"MD5", "SHA-256"})


@dataclass(slots=True)
class Credentials:
    """What the operator configured; as bytes, because any character is allowed in them."""

    username: str
    password: str = field(repr=False)

    def _bytes(self) -> tuple[bytes, bytes]:
        # What os.environ could not decode goes to the camera as the bytes it was.
        return (
            self.username.encode("utf-8", "surrogateescape"),
            self.password.encode("utf-8", "surrogateescape"),
        )

    def basic(self) -> str:
        """Return the ``Authorization`` header of the Basic scheme."""
        username, password = self._bytes()
        return f"Basic {base64.b64encode(username + b':' + password).decode('ascii')}"

    def digest(
        self, challenge: DigestChallenge, *, method: str, target: str, count: int, cnonce: str
    ) -> str:
        """Return the ``Authorization`` header of the Digest scheme.

        Args:
            challenge: What the server asked.
            method: Such as ``GET``.
            target: Path and query, as in the request line.
            count: How often this challenge has been answered, this time included.
            cnonce: A word of our own that nobody can foresee.
        """
        username, password = self._bytes()
        realm = challenge.realm.encode("latin-1")
        secret = challenge.hashed(username + b":" + realm + b":" + password)
        if challenge.is_session:
            secret = challenge.hashed(f"{secret}:{challenge.nonce}:{cnonce}".encode())
        request = challenge.hashed(f"{method}:{target}".encode())
        counted = f"{count:08x}:{cnonce}:auth:" if challenge.has_qop else ""
        response = challenge.hashed(f"{secret}:{challenge.nonce}:{counted}{request}".encode())
        # A header is Latin-1 to Python's HTTP: these are the same bytes again.
        fields = {
            "username": _quoted(username.decode("latin-1")),
            "realm": _quoted(challenge.realm),
            "nonce": _quoted(challenge.nonce),
            "uri": _quoted(target),
            "response": _quoted(response),
        }
        if challenge.algorithm is not None:
            fields["algorithm"] = challenge.algorithm
        if challenge.opaque is not None:
            fields["opaque"] = _quoted(challenge.opaque)
        if challenge.has_qop:
            fields |= {"qop": "auth", "nc": f"{count:08x}", "cnonce": _quoted(cnonce)}
        return "Digest " + ", ".join(f"{name}={value}" for name, value in fields.items())


@dataclass(frozen=True, slots=True)
class DigestChallenge:
    """What a server asks for in its ``WWW-Authenticate`` header: Latin-1, whatever it meant."""

    realm: str
    nonce: str
    algorithm: str | None
    has_qop: bool
    opaque: str | None

    @property
    def is_session(self) -> bool:
        """Whether the first answer's words are hashed into all that follow."""
        return (self.algorithm or "").upper().endswith("-SESS")

    @property
    def is_sha(self) -> bool:
        """Whether the hash is SHA-256 and not MD5."""
        return (self.algorithm or "").upper().startswith("SHA-256")

    def hashed(self, data: bytes) -> str:
        """Return the hash of ``data`` that the server wants, in hexadecimal digits."""
        if self.is_sha:
            return hashlib.sha256(data).hexdigest()
        return hashlib.md5(data, usedforsecurity=False).hexdigest()


def parse_challenges(headers: Sequence[str]) -> tuple[DigestChallenge | None, bool]:
    """Return the best digest challenge that we can answer, and whether Basic would do.

    Args:
        headers: Every ``WWW-Authenticate`` header; one may hold several challenges.
    """
    digests: list[DigestChallenge] = []
    has_basic = False
    for header in headers:
        # A realm may be called anything: what is quoted begins no challenge.
        bare = _QUOTED.sub(lambda match: "q" * len(match[0]), header)
        found = [(match.start(1), match[1].lower()) for match in _SCHEME.finditer(bare)]
        for (start, scheme), (end, _) in pairwise([*found, (len(header), "")]):
            has_basic |= scheme == "basic"
            if scheme == "digest":
                digests += _digest(header[start + len(scheme) : end])
    return max(digests, key=lambda challenge: challenge.is_sha, default=None), has_basic


def new_cnonce() -> str:
    """Return a word that nobody can foresee."""
    return secrets.token_hex(8)


def _digest(text: str) -> list[DigestChallenge]:
    given = {
        match[1].lower(): match[3] if match[2] is None else re.sub(r"\\(.)", r"\1", match[2])
        for match in _PARAMETER.finditer(text)
    }
    algorithm = given.get("algorithm")
    name = (algorithm or "MD5").upper().removesuffix("-SESS")
    if name not in _ALGORITHMS or "nonce" not in given:
        return []
    qops = {word.strip().lower() for word in given.get("qop", "").split(",")} - {""}
    if qops and "auth" not in qops:
        return []
    return [
        DigestChallenge(
            realm=given.get("realm", ""),
            nonce=given["nonce"],
            algorithm=algorithm,
            has_qop=bool(qops),
            opaque=given.get("opaque"),
        )
    ]


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
