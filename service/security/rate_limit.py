"""How often a caller may ask: a token bucket for each, in this process.

Libraries for this keep windows rather than buckets, or every address that ever asked; this needs neither a store nor a
thread.
"""

import ipaddress
import math
import time
from collections import OrderedDict
from typing import NamedTuple

MOST_CALLERS = 16_384
"""Buckets that are kept; beyond it the one that was asked for longest ago is forgotten."""


class Allowance(NamedTuple):
    """What a caller may do now."""

    allowed: bool
    remaining: int
    """Requests that may follow at once."""
    full_s: int
    """Until the bucket is full again, in seconds."""
    retry_s: int
    """Until the next request may come, in seconds."""


class RateLimiter:
    """Buckets that hold ``burst`` requests and fill with ``rate`` a second; ``rate`` 0 allows everything."""

    def __init__(self, rate: float, burst: int) -> None:
        self.rate = rate
        self.burst = burst
        self.buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str, now: float | None = None) -> Allowance:
        """Take one request out of a caller's bucket, at ``now`` of the monotonic clock, if there is one in it."""
        now = time.monotonic() if now is None else now
        level, then = self.buckets.get(caller, (float(self.burst), now))
        level = min(self.burst, level + (now - then) * self.rate)
        allowed = level >= 1
        level -= allowed
        self.buckets[caller] = (level, now)
        self.buckets.move_to_end(caller)
        if len(self.buckets) > MOST_CALLERS:
            self.buckets.popitem(last=False)
        return Allowance(
            allowed,
            remaining=math.floor(level),
            full_s=math.ceil((self.burst - level) / self.rate),
            retry_s=max(math.ceil((1 - level) / self.rate), 1),
        )

    def headers(self, allowance: Allowance) -> dict[str, str]:
        """The fields of draft-ietf-httpapi-ratelimit-headers-10, and ``Retry-After`` where nothing is left."""
        policy = {
            "RateLimit-Policy": f'"default";q={self.burst};w={math.ceil(self.burst / self.rate)}',
            "RateLimit": f'"default";r={allowance.remaining};t={allowance.full_s}',
        }
        return policy if allowance.allowed else policy | {"Retry-After": str(allowance.retry_s)}


def network(address: str | None) -> str:
    """Whom an address stands for: itself, or for IPv6 its /64, of which one caller may have every address."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return "address:unknown"
    bits = 64 if parsed.version == 6 else 32
    return f"address:{ipaddress.ip_network((parsed, bits), strict=False)}"
