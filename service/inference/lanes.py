"""The threads that run models, and which model's batch is next.

The models take turns. Only the thread of the event loop changes the state, so there are no locks.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

from service.inference.plans import Plan

T = TypeVar("T")
BUSY_FOR_S = 0.05
"""So long after there was enough work for streams, runs go beside each other: those answered may send more."""
MOST = 1024
"""Threads that no plan exceeds: the plans decide how many run."""


class Queue(Protocol):
    """What waits for a lane: the batcher of a model."""

    plan: Plan
    expected: int
    """Images that will come soon."""

    def __len__(self) -> int:
        """How many images wait."""
        ...

    def ready(self) -> bool:
        """Whether images wait and need not wait for more."""
        ...

    def start(self, *, alone: bool, most: int) -> int:
        """Start one run of so many images at most, on all CPUs or beside others; return their number, maybe 0."""
        ...


class Lanes:
    """Runs have the CPUs to themselves, one at a time, or go beside each other; a model's plan says from when.

    With less in work than that, a run waits for those beside each other to end, and then has all CPUs.
    """

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(MOST, "run")  # a thread begins when a run first needs it
        self.alone = False
        self.runs = 0
        self.images = 0
        """In the runs."""
        self.busy_until = 0.0
        self.waiting: OrderedDict[Queue, None] = OrderedDict()

    def want(self, queue: Queue) -> None:
        """Start runs of a queue, now or when its turn comes."""
        self.waiting.setdefault(queue)
        self.start_more()

    def start_more(self) -> None:
        while self.waiting and not self.alone:
            queue = next(iter(self.waiting))
            plan = queue.plan
            at_work = self.images + sum(len(waiting) + waiting.expected for waiting in self.waiting)
            if at_work >= plan.streams_from:
                self.busy_until = time.perf_counter() + BUSY_FOR_S
            alone = plan.streams == 1 or (at_work < plan.streams_from and time.perf_counter() > self.busy_until)
            if self.runs >= (1 if alone else plan.streams):
                return
            # A stream takes half of its share, so that the next run is ready when this one ends.
            most = plan.batch if alone else min(math.ceil(at_work / (2 * plan.streams)), plan.batch)
            del self.waiting[queue]
            if not queue.ready():
                continue
            if images := queue.start(alone=alone, most=most):
                self.alone = alone
                self.runs += 1
                self.images += images
            if queue.ready():
                self.waiting.setdefault(queue)

    def submit(self, run: Callable[[], T], done: Callable[[Future[T]], None]) -> None:
        """Run in a thread, and call ``done`` there."""
        self.pool.submit(run).add_done_callback(done)

    def finished(self, images: int) -> None:
        """Give back the lane of a run of so many images, and start what may begin now."""
        self.alone = False
        self.runs -= 1
        self.images -= images
        self.start_more()

    def close(self) -> None:
        """Finish the running work and end the threads."""
        self.pool.shutdown()
