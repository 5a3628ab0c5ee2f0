"""Who may decode next. The work of a test waits until the test lets it end."""

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from models.preprocessing.cost import DEAR
from service.inference.decoding import Decoders, Room
from service.inference.turns import Turns

CHEAP, LARGE = 1000, DEAR + 1


class Held:
    """Work by name; each is told to end."""

    def __init__(self, decoders: Decoders) -> None:
        self.decoders = decoders
        self.began: list[str] = []
        self.ends: dict[str, threading.Event] = {}
        self.tasks: dict[str, asyncio.Task[str]] = {}

    async def ask(self, caller: str, name: str, cost: int = CHEAP) -> None:
        self.ends[name] = threading.Event()

        def work() -> str:
            self.began.append(name)
            assert self.ends[name].wait(10)
            return name

        self.tasks[name] = asyncio.create_task(self.decoders.run(caller, cost, work))
        await self.settle()

    async def end(self, name: str) -> None:
        self.ends[name].set()
        assert await self.tasks[name] == name
        await self.settle()

    async def settle(self) -> None:
        """Wait until all that was given to a thread has begun there, and all that may end has ended."""
        await asyncio.sleep(0)
        while self.decoders.working != sum(not self.ends[name].is_set() for name in self.began):  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def run_with(test: Callable[[Held], Awaitable[None]], threads: int = 2, most_bytes: int = 10 * LARGE) -> None:
    async def body() -> None:
        held = Held(Decoders(threads, most_bytes))
        try:
            await asyncio.wait_for(test(held), 20)
        finally:
            for end in held.ends.values():
                end.set()
            await asyncio.gather(*held.tasks.values(), return_exceptions=True)
            held.decoders.close()

    asyncio.run(body())


@pytest.mark.parametrize("threads", [1, 2])
def test_dear_ones_leave_a_thread(threads: int) -> None:
    async def test(held: Held) -> None:
        for index in range(3):
            await held.ask("a", f"dear{index}", LARGE)
        assert held.began == ["dear0"]
        await held.ask("b", "cheap")
        await held.end("cheap")
        assert held.began == ["dear0", "cheap"]

    run_with(test, threads)


def test_callers_take_turns_and_cheap_comes_before_dear() -> None:
    async def test(held: Held) -> None:
        for name in ("run1", "run2"):
            await held.ask("a", name)
        for caller, name, cost in (
            ("a", "a dear", LARGE),
            ("a", "a large", 2 * CHEAP),
            ("a", "a small", CHEAP),
            ("a", "a last", CHEAP),
            ("b", "b dear", LARGE),
        ):
            await held.ask(caller, name, cost)
        order = ["run1", "a small", "b dear", "a last", "a large"]
        await held.end("run1")
        await held.end("a small")
        assert held.began[2:] == ["a small", "b dear"]
        await held.end("run2")
        await held.end("a last")
        await held.end("a large")
        assert held.began == ["run1", "run2", *order[1:]]
        await held.end("b dear")
        assert held.began[-1] == "a dear"

    run_with(test)


def test_a_caller_leaves_threads_for_the_dear_ones_of_others() -> None:
    async def test(held: Held) -> None:
        for index in range(4):
            await held.ask("a", f"a{index}", LARGE)
        assert held.began == ["a0", "a1"]
        await held.ask("b", "b0", LARGE)
        assert held.began == ["a0", "a1", "b0"]

    run_with(test, threads=4)


def test_memory_is_bounded_and_the_largest_is_decoded_alone() -> None:
    async def test(held: Held) -> None:
        await held.ask("a", "a0", 5 * LARGE)
        await held.ask("b", "b0", LARGE)
        assert held.began == ["a0"]
        await held.end("a0")
        assert held.began == ["a0", "b0"]

    run_with(test, threads=4, most_bytes=2 * LARGE)


def test_what_is_given_up_is_not_done() -> None:
    async def test(held: Held) -> None:
        for name in ("run1", "run2", "impatient", "patient"):
            await held.ask("a", name)
        held.tasks["impatient"].cancel()
        held.tasks["run2"].cancel()  # its thread goes on, and no other starts in its place
        await held.settle()
        assert held.began == ["run1", "run2"]
        held.ends["run2"].set()
        await held.settle()
        assert held.began == ["run1", "run2", "patient"]
        assert not held.decoders.waiting

    run_with(test)


def test_an_error_reaches_who_asked() -> None:
    async def test(held: Held) -> None:
        def work() -> Any:
            raise LookupError("lost")

        with pytest.raises(LookupError, match="lost"):
            await held.decoders.run("a", CHEAP, work)

    run_with(test)


def test_turns_of_equal_rank_keep_their_order() -> None:
    turns: Turns[int] = Turns()
    for value in (1, 2, 3):
        turns.add("a", value)
    turns.add("b", 4)
    assert (len(turns), list(turns), turns.of("a")) == (4, [1, 2, 3, 4], 3)
    assert [turns.take() for _ in range(5)] == [1, 4, 2, 3, None]


def test_dear_ones_of_threads_stay_within_the_limit() -> None:
    room, began, end = Room(2 * LARGE), threading.Semaphore(0), threading.Event()

    def hold(cost: int) -> None:
        with room.taken(cost):
            began.release()
            assert end.wait(20)

    with ThreadPoolExecutor(5) as threads:
        work = [threads.submit(hold, LARGE) for _ in range(3)]
        try:
            assert began.acquire(timeout=10)
            assert began.acquire(timeout=10)
            assert not began.acquire(timeout=0.05), "three are more than the limit"
            with room.taken(CHEAP):  # never waits
                pass
        finally:
            end.set()
        for one in work:
            one.result(20)
        assert began.acquire(timeout=10), "the third"
        # Alone it may be larger than the limit.
        end.clear()
        alone = threads.submit(hold, 100 * LARGE)
        try:
            assert began.acquire(timeout=10)
            late = threads.submit(hold, LARGE)
            assert not began.acquire(timeout=0.05)
        finally:
            end.set()
            room.most_bytes = sys.maxsize  # whatever happened, the threads can end
            with room.freed:
                room.freed.notify_all()
        alone.result(20)
        late.result(20)
    assert room.bytes == 0
