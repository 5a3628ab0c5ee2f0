"""Requests in flight over processes: never above the limit, and exact again after a kill."""

import random
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.context import ForkServerContext

import pytest

from service.http.problems import ProblemError
from service.settings import Settings
from service.workers.in_flight import SharedInFlight
from service.workers.limits import clear
from service.workers.seat import Seat
from tests.service.workers.hammering import CALLERS, come_and_go, until_killed

SMALL = Settings(max_requests=5, caller_share=0.5)
"""Three of one caller."""


@pytest.mark.parametrize(("limit", "share"), [(3, 2), (1, 1)], ids=["of the service and of a caller", "a single place"])
def test_no_more_than_the_limit_in_any_process(
    processes: ForkServerContext, seat: Callable[[int], Seat], limit: int, share: int
) -> None:
    """Without one step for the check and the entry, two of the four would take the last place."""
    settings = Settings(max_requests=limit, caller_share=0.5)
    seen, start, most = processes.Array("i", 1 + len(CALLERS)), processes.Barrier(4), processes.Queue()
    workers = [
        processes.Process(target=come_and_go, args=(settings, seat(index), start, 1.5, seen, most))
        for index in range(4)
    ]
    for worker in workers:
        worker.start()
    found = [max(column) for column in zip(*(most.get(timeout=30) for _ in workers), strict=True)]
    for worker in workers:
        worker.join(10)
    assert found == [limit, *[share] * len(CALLERS)]
    assert SharedInFlight(settings, seat(0)).total() == 0


def test_after_a_kill_the_count_is_exact(processes: ForkServerContext, seat: Callable[[int], Seat]) -> None:
    settings = Settings()
    requests, chance, left = SharedInFlight(settings, seat(0)), random.Random(0), 0
    requests.enter("both")
    requests.enter("0")
    for _ in range(30):
        running = processes.Event()
        worker = processes.Process(target=until_killed, args=(settings, seat(1), running))
        worker.start()
        assert running.wait(30)
        time.sleep(chance.uniform(0, 0.02))
        worker.kill()
        worker.join(10)
        left += requests.total() > 2
        clear(settings, seat(1))
        assert (requests.total(), requests.of("both"), requests.of("0")) == (2, 1, 1)
        assert sum(map(bool, requests.file.bytes[:])) <= 2 + 2 * 16  # and nothing else is left
        requests.enter("both")
        requests.leave("both")
    assert left  # kills did hit requests in flight
    requests.leave("both")
    requests.leave("0")
    assert not any(requests.file.bytes[:])


class Dying:
    """The bytes of a file, whose process ends before one of its writes."""

    def __init__(self, content, writes: int) -> None:
        self.content, self.writes = content, writes

    def __getattr__(self, name: str):
        return getattr(self.content, name)

    def __getitem__(self, key):
        return self.content[key]

    def __setitem__(self, key, value) -> None:
        if not self.writes:
            raise KeyboardInterrupt
        self.writes -= 1
        self.content[key] = value


@pytest.mark.parametrize("writes", range(12))
def test_an_end_before_any_write(seat: Callable[[int], Seat], writes: int) -> None:
    settings = Settings()
    other, dying = SharedInFlight(settings, seat(0)), SharedInFlight(settings, seat(1))
    other.enter("x")
    content = dying.file.bytes
    dying.file.bytes = Dying(content, writes)  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        until_killed_by_itself(dying)
    assert other.of("x") + other.of("y") <= other.total()  # what has a caller is counted
    for cut in range(3):  # the clearing may end early too
        dying.file.bytes = Dying(content, cut)  # type: ignore[assignment]
        with suppress(KeyboardInterrupt):
            dying.clear(1)
        assert other.of("x") + other.of("y") <= other.total()
    other.clear(1)
    assert (other.total(), other.of("x"), other.of("y")) == (1, 1, 0)
    other.leave("x")
    assert not any(content[:])


def until_killed_by_itself(requests: SharedInFlight) -> None:
    while True:
        requests.enter("x")
        requests.enter("y")
        requests.leave("x")


def test_a_new_worker_removes_what_the_last_on_its_seat_left(seat: Callable[[int], Seat]) -> None:
    dead, other = SharedInFlight(SMALL, seat(1)), SharedInFlight(SMALL, seat(0))
    for caller in ("a", "a", "b"):
        dead.enter(caller)
    other.enter("a")
    with pytest.raises(ProblemError, match="3 of your requests"):
        other.enter("a")
    new = SharedInFlight(SMALL, seat(1))
    assert (new.total(), new.of("a"), new.of("b")) == (1, 1, 0)
    new.enter("a")
    other.leave("a")
    assert (other.total(), other.of("a")) == (1, 1)


def test_the_file_has_a_fixed_size_and_no_names(seat: Callable[[int], Seat]) -> None:
    requests = SharedInFlight(Settings(), seat(0))
    size = (seat(0).folder / "in-flight").stat().st_size
    for _ in range(3):
        requests.enter("address:192.0.2.17")
    content = (seat(0).folder / "in-flight").read_bytes()
    assert len(content) == size == 64 * 17
    assert b"192" not in content


def test_a_seat_that_has_no_mark(seat: Callable[[int], Seat]) -> None:
    with pytest.raises(ValueError, match="255"):
        SharedInFlight(Settings(), seat(255))
