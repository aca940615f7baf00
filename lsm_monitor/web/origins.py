"""Where a request comes from, and whether it means us.

A page of somebody else must not reach the daemon through the browser of an operator. By DNS
rebinding it could come under a name of its own, so a name in ``Host`` must be one we know; an
address cannot be rebound. By a form or a script it could come from another origin, which
browsers say in ``Origin`` and ``Sec-Fetch-Site``.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Collection, Iterable
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::\d{1,5})?")
_FORWARDED = ("x-forwarded-for", "forwarded", "x-real-ip")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_SAME_SITE = frozenset({"same-origin", "none"})


def known_names(configured: Iterable[str]) -> frozenset[str]:
    """Return the names under which we may be asked, lower case."""
    own = ("localhost", socket.gethostname())  # not getfqdn(): that may wait for a name server
    return frozenset(name.lower().rstrip(".") for name in (*own, *configured))


def is_our_host(host: str | None, names: Collection[str]) -> bool:
    """Return whether a ``Host`` header means us: an address, or one of ``names``."""
    match = _HOST.fullmatch(host or "")
    if match is None:
        return False
    name = match["name"].lower().rstrip(".")
    return name in names or _is_address(name)


def is_same_origin(headers: Headers, scheme: str) -> bool:
    """Return whether a request comes from our own page, or from no browser.

    Args:
        headers: Of the request.
        scheme: How it reached us, or the proxy that we trust: http or https.
    """
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "none") in _SAME_SITE
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    own = headers.get("host", "").lower()
    return parts.scheme == scheme and _without_default_port(
        parts.netloc.lower(), scheme
    ) == _without_default_port(own, scheme)


def is_foreign_fetch(headers: Headers) -> bool:
    """Return whether the browser says that another site's page makes this request."""
    return headers.get("sec-fetch-site", "none") not in _SAME_SITE


def is_local(scope: Scope) -> bool:
    """Return whether a request comes from this machine, and not through a proxy on it."""
    client = scope.get("client")
    if client is None or any(name in Headers(scope=scope) for name in _FORWARDED):
        return False
    return is_loopback(client[0])


def is_loopback(host: str) -> bool:
    """Return whether an address or ``localhost`` is this machine's own."""
    if host == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    # A port that listens on '::' sees IPv4 clients as ::ffff:127.0.0.1.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _is_address(name: str) -> bool:
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _without_default_port(netloc: str, scheme: str) -> str:
    return netloc.removesuffix(_DEFAULT_PORTS.get(scheme, ":"))
