"""The rate limit over processes, against its definition and against the one of a single process."""

import itertools
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from service.security.rate_limit import RateLimiter
from service.workers.buckets import SharedLimiter
from service.workers.seat import Seat
from tests.service.workers.hammering import take_all

CALLS = st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1), st.integers(0, 1)), max_size=60)


def test_a_burst_and_the_rate_over_all_processes(processes: ForkServerContext, seat: Callable[[int], Seat]) -> None:
    rate, burst, start, passed = 100, 20, processes.Barrier(4), processes.Queue()
    workers = [
        processes.Process(target=take_all, args=(rate, burst, seat(index), start, 1.5, passed)) for index in range(4)
    ]
    for worker in workers:
        worker.start()
    times = [passed.get(timeout=30) for _ in workers]
    for worker in workers:
        worker.join(10)
    assert sum(map(bool, times)) > 1  # more than one process had some of it
    joined = sorted(itertools.chain(*times))
    span = joined[-1] - joined[0]
    assert burst + rate * span - 1.5 <= len(joined) <= burst + rate * span + 1e-3


@settings(max_examples=50)
@given(st.floats(0.1, 50), st.integers(1, 20), CALLS)
def test_as_in_one_process(rate: float, burst: int, calls: list[tuple[str, float, int]]) -> None:
    with TemporaryDirectory() as folder:
        shared = [SharedLimiter(rate, burst, Seat(index, 2, Path(folder))) for index in range(2)]
        alone, now = RateLimiter(rate, burst), 1e6
        for caller, gap, worker in calls:
            now += gap
            assert shared[worker].take(caller, now) == alone.take(caller, now)


def test_memory_is_bounded_and_who_is_limited_stays_limited(seat: Callable[[int], Seat]) -> None:
    limiter, path = SharedLimiter(1, 2, seat(0)), seat(0).folder / "buckets"
    size, now = path.stat().st_size, time.monotonic()
    assert [limiter.take("greedy", now).allowed for _ in range(3)] == [True, True, False]
    for other in range(100_000):
        limiter.take(f"address:{other}", now + 0.5)
    assert not limiter.take("greedy", now + 0.9).allowed
    assert limiter.take("greedy", now + 1.1).allowed
    content = path.read_bytes()
    assert len(content) == size == 32_768 * 24
    assert b"address" not in content
