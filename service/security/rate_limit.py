"""The rate limit of a caller: one token bucket each, in this process.

Libraries for this use windows, not buckets, or keep every address for ever. This needs no store and no thread.
"""

import ipaddress
import math
import time
from collections import OrderedDict
from functools import lru_cache
from typing import NamedTuple

MOST_CALLERS = 16_384
"""Limit of buckets. Above it the one that was used longest ago is dropped."""


class Allowance(NamedTuple):
    """The state of the rate limit of a caller."""

    allowed: bool
    remaining: int
    """Requests that the caller may still send at once."""
    full_s: int
    """Until the bucket is full again, in seconds."""
    retry_s: int
    """Until the next request may come, in seconds."""


class RateLimiter:
    """Buckets that hold ``burst`` requests and refill with ``rate`` per second. ``rate`` 0 means no limit."""

    def __init__(self, rate: float, burst: int) -> None:
        self.rate = rate
        self.burst = burst
        self.buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str, now: float | None = None) -> Allowance:
        """Take one request from the bucket of a caller, if there is one, at ``now`` of the monotonic clock."""
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
        """The header fields of draft-ietf-httpapi-ratelimit-headers-10, and ``Retry-After`` if nothing is left."""
        policy = {
            "RateLimit-Policy": f'"default";q={self.burst};w={math.ceil(self.burst / self.rate)}',
            "RateLimit": f'"default";r={allowance.remaining};t={allowance.full_s}',
        }
        return policy if allowance.allowed else policy | {"Retry-After": str(allowance.retry_s)}


@lru_cache(4096)
def network(address: str | None) -> str:
    """The caller of an address: the address itself, or for IPv6 its /64 network, since one caller may own all of it."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return "address:unknown"
    bits = 64 if parsed.version == 6 else 32
    return f"address:{ipaddress.ip_network((parsed, bits), strict=False)}"
