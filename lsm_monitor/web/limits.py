"""How often somebody may try a password: per address and per user name, in bounded memory."""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict

from lsm_monitor.clock import Clock
from lsm_monitor.publish.rate import Rate, TokenBucket

_RATE = Rate(burst=50, per_s=5.0)
"""Of all together: each attempt costs some 30 ms, which the model should have."""
_ADDRESS_RATE = Rate(burst=10, per_s=1 / 6)
_USER_RATE = Rate(burst=10, per_s=1 / 30)
_MAX_KEYS = 4096
_IPV6_PREFIX = 64


class LoginLimits:
    """Counts attempts.

    Args:
        clock: Monotonic time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._all = TokenBucket(_RATE, clock.monotonic_s())
        self._addresses = _Buckets(_ADDRESS_RATE, clock)
        self._users = _Buckets(_USER_RATE, clock)

    def wait_s(self, address: str, user: str) -> int:
        """Count an attempt; return 0 if it may be made, else after how long, in seconds."""
        if not self._addresses.take(network_of(address)):
            return math.ceil(1 / _ADDRESS_RATE.per_s)
        if not self._users.take(user):
            return math.ceil(1 / _USER_RATE.per_s)
        return 0 if self._all.take(self._clock.monotonic_s()) else math.ceil(1 / _RATE.per_s)

    def succeeded(self, user: str) -> None:
        """Forget a user's wrong attempts; those of the address count on.

        Else whoever has one account could try those of others for ever.
        """
        self._users.forget(user)


class _Buckets:
    """A token bucket per key; of too many keys the one that was used longest ago goes."""

    def __init__(self, rate: Rate, clock: Clock) -> None:
        self._rate = rate
        self._clock = clock
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def take(self, key: str) -> bool:
        now_s = self._clock.monotonic_s()
        bucket = self._buckets.setdefault(key, TokenBucket(self._rate, now_s))
        self._buckets.move_to_end(key)
        if len(self._buckets) > _MAX_KEYS:
            self._buckets.popitem(last=False)
        return bucket.take(now_s)

    def forget(self, key: str) -> None:
        self._buckets.pop(key, None)


def network_of(address: str) -> str:
    """Return who is meant by an address: of IPv6, the network that one customer gets."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if parsed.version == 4:  # noqa: PLR2004 - IPv4
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False))
