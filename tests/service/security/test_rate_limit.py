"""The bucket against its definition, at instants that the test sets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.security import rate_limit
from service.security.rate_limit import RateLimiter, network


def test_a_burst_then_the_rate() -> None:
    limiter = RateLimiter(rate=2, burst=3)
    assert [limiter.take("a", 10.0).allowed for _ in range(4)] == [True, True, True, False]
    assert limiter.take("b", 10.0).allowed
    assert limiter.take("a", 10.0).retry_s == 1
    assert [limiter.take("a", 10.5).allowed for _ in range(2)] == [True, False]
    assert [limiter.take("a", 100.0).allowed for _ in range(4)] == [True, True, True, False]


@given(
    st.floats(0.1, 50),
    st.integers(1, 20),
    st.lists(st.floats(0, 3), min_size=1, max_size=80),
)
def test_never_more_than_burst_and_rate_in_any_span(rate: float, burst: int, gaps: list[float]) -> None:
    limiter, now, passed = RateLimiter(rate, burst), 0.0, []
    for gap in gaps:
        now += gap
        allowance = limiter.take("a", now)
        assert 0 <= allowance.remaining < burst or (burst == 1 and allowance.remaining == 0)
        if allowance.allowed:
            passed.append(now)
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            assert last - first + 1 <= burst + rate * (passed[last] - passed[first]) + 1e-6


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "MOST_CALLERS", 10)
    limiter = RateLimiter(1, 1)
    for caller in range(100):
        limiter.take(str(caller), 0.0)
    assert list(limiter.buckets) == [str(caller) for caller in range(90, 100)]


def test_one_house_is_one_caller() -> None:
    assert network("2001:db8:1:2::3") == network("2001:db8:1:2:ffff::4") != network("2001:db8:1:3::3")
    assert network("10.0.0.1") != network("10.0.0.2")
    assert network("testclient") == network(None) == "address:unknown"
