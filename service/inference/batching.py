"""Micro-batching: requests for one model that wait at the same time run together.

Only the thread of the event loop changes the state, so there are no locks. The model runs in a thread of the lanes.
"""

import asyncio
import math
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.inference.errors import QueueFullError
from service.inference.lanes import Lanes
from service.inference.runtime import Model, Outputs
from service.inference.turns import Turns
from service.observing.metrics import ModelMetrics
from service.observing.tracing import stage

SHARED_RUN_S = 0.015
"""A batch of several callers, who then wait for each other, takes about so long at most."""
SHARED_FOR_S = 10.0
"""A model counts as shared so long after two callers used it in turn."""


@dataclass(slots=True, eq=False)
class Waiting:
    """An image in the queue, and when its run began and ended."""

    pixels: NDArray[np.uint8]
    future: asyncio.Future[Outputs]
    since: float
    began: float = 0.0
    ended: float = 0.0


class Batcher:
    """The queue in front of one model.

    Images that arrive while no lane is free form the next batches. With ``delay_s`` 0 an image never waits for others:
    a single request runs at once.
    """

    def __init__(
        self,
        model: Model,
        lanes: Lanes,
        metrics: ModelMetrics,
        *,
        max_batch_size: int,
        delay_s: float,
        queue_size: int,
        caller_share: float = 1.0,
    ) -> None:
        self.model = model
        self.plan = model.plan
        self.lanes = lanes
        self.metrics = metrics
        self.max_batch_size = min(max_batch_size, model.plan.batch)
        self.delay_s = delay_s
        self.queue_size = queue_size
        self.most_of_caller = math.ceil(queue_size * caller_share)
        self.queue: Turns[Waiting] = Turns()
        self.last_caller: str | None = None
        self.shared_until = 0.0
        self.image_s = {True: 0.0, False: 0.0}
        """Seconds of the last runs for each image, by whether they had the CPUs to themselves."""
        self.timer: asyncio.TimerHandle | None = None
        self.expected = 0
        """Images in decoding."""

    def __len__(self) -> int:
        return len(self.queue)

    async def submit(self, images: list[NDArray[np.uint8]], caller: str = "") -> list[Outputs]:
        """Queue images (H, W, C) and return the outputs of each, in order. Callers take turns, image by image.

        Raises:
            QueueFullError: at once, if the queue, or the caller's part of it, has no room for all of them.
        """
        if len(self.queue) + len(images) > self.queue_size:
            raise QueueFullError(
                f"{len(self.queue)} images wait for {self.model.name} and the limit is {self.queue_size}"
            )
        if self.queue.of(caller) + len(images) > self.most_of_caller:
            raise QueueFullError(
                f"{self.queue.of(caller)} of your images wait for {self.model.name} and the limit for one caller is "
                f"{self.most_of_caller}"
            )
        loop, now = asyncio.get_running_loop(), time.perf_counter()
        if caller != self.last_caller:
            if self.last_caller is not None:
                self.shared_until = now + SHARED_FOR_S
            self.last_caller = caller
        entries = [Waiting(pixels, loop.create_future(), now) for pixels in images]
        for entry in entries:
            self.queue.add(caller, entry)
        self.metrics.queue_length.set(len(self.queue))
        self.dispatch()
        try:
            # A lone image needs no gathering, which would cost it another turn of the loop.
            if len(entries) == 1:
                outputs = [await entries[0].future]
            else:
                outputs = await asyncio.gather(*(entry.future for entry in entries))
        except BaseException:
            for entry in entries:
                entry.future.cancel()
                self.queue.remove(caller, entry)  # images of cancelled requests leave their places to others
            self.metrics.queue_length.set(len(self.queue))
            raise
        began, ended = min(entry.began for entry in entries), max(entry.ended for entry in entries)
        stage("queue", now, began)
        stage("run", began, ended)
        return outputs

    @contextmanager
    def expecting(self, images: int) -> Iterator[None]:
        """Tell that so many images will come soon, or will turn out to be none."""
        self.expected += images
        try:
            yield
        finally:
            self.expected -= images

    def dispatch(self) -> None:
        """Ask for a lane, if images wait and need not wait for more."""
        if self.ready():
            self.lanes.want(self)

    def ready(self) -> bool:
        """Whether images wait and need not wait for more. If they must, :meth:`dispatch` is called again in time."""
        if self.queue and self.delay_s and len(self.queue) < self.max_batch_size:
            wait = min(entry.since for entry in self.queue) + self.delay_s - time.perf_counter()
            if wait > 0:
                if self.timer is None:
                    self.timer = asyncio.get_running_loop().call_later(wait, self.on_timer)
                return False
        return bool(self.queue)

    def on_timer(self) -> None:
        self.timer = None
        self.dispatch()

    def start(self, *, alone: bool, most: int) -> int:
        """Start one run, and return its number of images: 0 if all who waited have given up.

        Args:
            alone: Whether it has the CPUs to itself.
            most: Limit of images.
        """
        most = min(most, self.most_in_batch(alone))
        batch: list[Waiting] = []
        while len(batch) < most and (entry := self.queue.take()) is not None:
            if not entry.future.done():
                batch.append(entry)
        self.metrics.queue_length.set(len(self.queue))
        if batch:
            self.run(batch, alone)
        return len(batch)

    def most_in_batch(self, alone: bool) -> int:
        """Return the limit of images in the next batch. It is lower while callers share a model that is slow."""
        if (seconds := self.image_s[alone]) and time.perf_counter() < self.shared_until:
            return min(max(int(SHARED_RUN_S / seconds), 1), self.max_batch_size)
        return self.max_batch_size

    def run(self, batch: list[Waiting], alone: bool) -> None:
        """Run a batch in a thread."""
        loop, start = asyncio.get_running_loop(), time.perf_counter()

        def work() -> Outputs:
            # A single image is already a batch in memory. Only several have to be stacked.
            images = batch[0].pixels[None] if len(batch) == 1 else np.stack([entry.pixels for entry in batch])
            return self.model.run(images) if alone else self.model.run_beside(images)

        def done(result: Future[Outputs]) -> None:
            with suppress(RuntimeError):  # the loop is closed, and nobody waits
                loop.call_soon_threadsafe(self.finish, batch, alone, start, time.perf_counter(), result)

        self.lanes.submit(work, done)

    def finish(self, batch: list[Waiting], alone: bool, start: float, end: float, result: Future[Outputs]) -> None:
        """Give each image its own row of the outputs, or the error to all of them. Others run meanwhile."""
        seconds, image_s = end - start, (end - start) / len(batch)
        self.image_s[alone] = (self.image_s[alone] or image_s) * 0.8 + image_s * 0.2
        self.lanes.finished(len(batch))
        waits = [start - entry.since for entry in batch]
        for wait in waits:
            self.metrics.queue_seconds.observe(wait)
        self.metrics.batch_size.observe(len(batch))
        if (error := result.exception()) is not None:
            for entry in batch:
                if not entry.future.done():
                    entry.future.set_exception(error)
            return
        outputs = result.result()
        self.metrics.inference_seconds.observe(seconds)
        self.metrics.statistics.executed(waits, seconds)
        for index, entry in enumerate(batch):
            entry.began, entry.ended = start, end
            if not entry.future.done():
                entry.future.set_result(outputs.row(index))
