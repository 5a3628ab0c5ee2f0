"""The threads that decode, and who may use them next.

Callers take turns. Within a caller the cheap images come before the dear ones. Dear ones leave at least one thread to
the cheap ones of everybody. Only the event loop changes the state, so there are no locks.
Work in bulk has threads of its own: for these there is :class:`Room`.
"""

import asyncio
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from models.preprocessing import DEAR
from service.inference.turns import Turns

T = TypeVar("T")
NICE = 10


@dataclass(slots=True, eq=False)
class Job:
    """A piece of work, and who asked for it."""

    caller: str
    cost: int
    """Bytes that it writes, as estimated from the header."""
    work: Callable[[], Any]
    future: asyncio.Future[Any]

    @property
    def dear(self) -> bool:
        return self.cost > DEAR


class Decoders:
    """A pool of at least two threads.

    Args:
        threads: Their number. Of one, a second is made for cheap images.
        most_bytes: Most bytes that the images in work may write, by their headers. An image that is larger than this
            is decoded while no other dear one is.
    """

    def __init__(self, threads: int, most_bytes: int) -> None:
        self.threads = max(threads, 2)
        self.most_dear = self.threads - 1
        self.most_dear_of_caller = max(self.most_dear - 1, 1)
        self.most_bytes = most_bytes
        self.pool = ThreadPoolExecutor(self.threads, "decode")
        self.dear_pool = ThreadPoolExecutor(self.most_dear, "decode-dear", initializer=yield_to_others)
        self.waiting: Turns[Job] = Turns(lambda job: job.cost)
        self.working = 0
        self.bytes = 0
        self.dear: Counter[str] = Counter()

    async def run(self, caller: str, cost: int, work: Callable[[], T]) -> T:
        """Do work in a thread, when it is the turn of the caller. What is given up before that is never done."""
        loop = asyncio.get_running_loop()
        job = Job(caller, cost, work, loop.create_future())
        if not self.waiting and self.working < self.threads and self.may(caller, job):
            self.start(job, loop)
        else:
            self.waiting.add(caller, job)
            self.start_more(loop)
        try:
            found: T = await job.future
            return found
        except asyncio.CancelledError:
            self.waiting.remove(caller, job)
            raise

    def may(self, caller: str, job: Job) -> bool:
        """Whether a job may begin now, if there is a thread for it."""
        if not job.dear:
            return True
        dear = self.dear.total()
        return not dear or (
            dear < self.most_dear
            and self.dear[caller] < self.most_dear_of_caller
            and self.bytes + job.cost <= self.most_bytes
        )

    def start(self, job: Job, loop: asyncio.AbstractEventLoop) -> None:
        self.working += 1
        self.bytes += job.cost
        if job.dear:
            self.dear[job.caller] += 1

        def done(result: Future[Any]) -> None:
            with suppress(RuntimeError):  # the loop is closed, and nobody waits
                loop.call_soon_threadsafe(self.finish, job, result, loop)

        pool = self.dear_pool if job.dear else self.pool
        pool.submit(job.work).add_done_callback(done)

    def finish(self, job: Job, result: Future[Any], loop: asyncio.AbstractEventLoop) -> None:
        """Hand over what a thread has done, and start what may begin now."""
        self.working -= 1
        self.bytes -= job.cost
        if job.dear:
            self.dear[job.caller] -= 1
            if not self.dear[job.caller]:
                del self.dear[job.caller]
        if not job.future.done():
            error = result.exception()
            if error is None:
                job.future.set_result(result.result())
            else:
                job.future.set_exception(error)
        self.start_more(loop)

    def start_more(self, loop: asyncio.AbstractEventLoop) -> None:
        while self.working < self.threads and (job := self.waiting.take(self.may)) is not None:
            if not job.future.done():
                self.start(job, loop)

    def close(self) -> None:
        """Finish the running work and end the threads."""
        self.pool.shutdown()
        self.dear_pool.shutdown()


class Room:
    """Keeps what dear images write within ``most_bytes``, for threads that can wait. A larger image has it alone."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.bytes = 0
        self.freed = threading.Condition()

    @contextmanager
    def taken(self, cost: int) -> Iterator[None]:
        """Wait for room for an image of such a cost, and hold it."""
        if cost <= DEAR:
            yield
            return
        with self.freed:
            self.freed.wait_for(lambda: not self.bytes or self.bytes + cost <= self.most_bytes)
            self.bytes += cost
        try:
            yield
        finally:
            with self.freed:
                self.bytes -= cost
                self.freed.notify_all()


def yield_to_others() -> None:
    """Lower the priority of this thread: a dear image may take seconds, and others wait for milliseconds."""
    if sys.platform == "linux":  # where a priority belongs to a thread
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
