"""The rate limit of a caller: one token bucket each.

Libraries for this use windows, not buckets, or keep every address for ever. This needs no store and no thread.
"""

import ipaddress
import math
import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from functools import lru_cache
from typing import NamedTuple

MOST_CALLERS = 16_384
"""Limit of buckets. Above it the one that was used longest ago is dropped."""
SLACK = 1e-7
"""What rounding may take from a bucket, in requests, and from a time, in seconds."""


class Allowance(NamedTuple):
    """The state of the rate limit of a caller."""

    allowed: bool
    remaining: int
    """Requests that the caller may still send at once."""
    full_s: int
    """Until the bucket is full again, in seconds."""
    retry_s: int
    """Until the next request may come, in seconds."""


class Limiter(ABC):
    """Buckets that hold ``burst`` requests and refill with ``rate`` per second. ``rate`` 0 means no limit.

    A bucket is one number: when it is full again, in seconds of the monotonic clock. Each request moves that time on by
    ``1 / rate``. A bucket that has been full for a while is as good as none.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self.rate = rate
        self.burst = burst

    @abstractmethod
    def draw(self, caller: str, now: float) -> tuple[float, bool]:
        """Take one request from the bucket of a caller, if there is one.

        Returns:
            When the bucket is full again, and whether there was a request in it.
        """

    def after(self, full_at: float, now: float) -> tuple[float, bool]:
        """Take one request from a bucket that is full again at ``full_at``. It returns what :meth:`draw` does."""
        full_at = max(full_at, now)
        if self.burst - (full_at - now) * self.rate >= 1 - SLACK:
            return full_at + 1 / self.rate, True
        return full_at, False

    def take(self, caller: str, now: float | None = None) -> Allowance:
        """Take one request from the bucket of a caller, if there is one, at ``now`` of the monotonic clock."""
        now = time.monotonic() if now is None else now
        full_at, allowed = self.draw(caller, now)
        level = self.burst - (full_at - now) * self.rate
        return Allowance(
            allowed,
            remaining=max(math.floor(level + SLACK), 0),
            full_s=math.ceil(full_at - now - SLACK),
            retry_s=max(math.ceil((1 - level) / self.rate - SLACK), 1),
        )

    def headers(self, allowance: Allowance) -> dict[str, str]:
        """The header fields of draft-ietf-httpapi-ratelimit-headers-10, and ``Retry-After`` if nothing is left."""
        policy = {
            "RateLimit-Policy": f'"default";q={self.burst};w={math.ceil(self.burst / self.rate)}',
            "RateLimit": f'"default";r={allowance.remaining};t={allowance.full_s}',
        }
        return policy if allowance.allowed else policy | {"Retry-After": str(allowance.retry_s)}


class RateLimiter(Limiter):
    """The buckets of a service of one process."""

    def __init__(self, rate: float, burst: int) -> None:
        super().__init__(rate, burst)
        self.buckets: OrderedDict[str, float] = OrderedDict()

    def draw(self, caller: str, now: float) -> tuple[float, bool]:
        """See :meth:`Limiter.draw`."""
        drawn = self.after(self.buckets.get(caller, now), now)
        self.buckets[caller] = drawn[0]
        self.buckets.move_to_end(caller)
        if len(self.buckets) > MOST_CALLERS:
            self.buckets.popitem(last=False)
        return drawn


@lru_cache(4096)
def network(address: str | None) -> str:
    """The caller of an address: the address itself, or for IPv6 its /64 network, since one caller may own all of it."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return "address:unknown"
    bits = 64 if parsed.version == 6 else 32
    return f"address:{ipaddress.ip_network((parsed, bits), strict=False)}"
