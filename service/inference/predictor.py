"""The one seam of the service: decode, batch, run, encode."""

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.cpu import usable_cpus
from models.preprocessing import ImageError, Preprocessed, decoding_cost, preprocess
from models.scope import judged
from service.inference.batching import Batcher
from service.inference.channels import Channel, Channels
from service.inference.decoding import Decoders, Room
from service.inference.errors import UnusableImageError
from service.inference.lanes import Lanes
from service.inference.runtime import Model, Outputs
from service.observing.logs import note
from service.observing.metrics import Metrics, ModelLabels, ModelMetrics
from service.observing.tracing import stage
from service.settings import Settings

T = TypeVar("T")

BULK_BATCH = 8
"""Images in a batch of work in bulk, or more by the plan. There they wait for nobody."""


class Served:
    """A model with its queue, its metrics, and the number of requests that use it."""

    def __init__(self, model: Model, batcher: Batcher, metrics: ModelMetrics) -> None:
        self.model = model
        self.batcher = batcher
        self.metrics = metrics
        self.channels = Channels(model)
        self.requests = 0
        self.idle = asyncio.Event()
        self.idle.set()


class Predictor:
    """From files or pixels to outputs, for every model that was added.

    The event loop neither decodes nor runs a model: a pool of threads decodes images, and the lanes run batches.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings = settings
        self.metrics = metrics
        self.decoders = Decoders(settings.decode_threads or usable_cpus(), settings.max_decode_bytes)
        metrics.decode_threads.set(self.decoders.threads)
        self.lanes = Lanes()
        self.served: dict[int, Served] = {}

    def add(self, model: Model) -> None:
        """Make a model ready for requests."""
        metrics = ModelMetrics(self.metrics, labels(model))
        batcher = Batcher(
            model,
            self.lanes,
            metrics,
            max_batch_size=self.settings.max_batch_size,
            delay_s=self.settings.batch_delay_ms / 1000,
            queue_size=self.settings.queue_size,
            caller_share=self.settings.caller_share,
        )
        self.served[id(model)] = Served(model, batcher, metrics)

    def of(self, model: Model) -> Served:
        """Return the loaded model with its queue and metrics."""
        return self.served[id(model)]

    @contextmanager
    def using(self, model: Model) -> Iterator[None]:
        """Keep a model loaded from the moment that a request has found it until its answer is written."""
        served = self.of(model)
        served.requests += 1
        served.idle.clear()
        try:
            yield
        finally:
            served.requests -= 1
            if not served.requests:
                served.idle.set()

    async def retire(self, model: Model) -> None:
        """Free a model that no new request can find, once the requests that use it are answered."""
        await self.of(model).idle.wait()
        del self.served[id(model)]
        gone, others = labels(model), [labels(served.model) for served in self.served.values()]
        self.metrics.forget(gone, [o for o in others if (o.name, o.version) == (gone.name, gone.version)])

    async def predict(
        self, model: Model, files: Sequence[bytes], frame: int | None = None, caller: str = ""
    ) -> list[tuple[Preprocessed, Outputs]]:
        """Return the decoded input and the outputs for each file, in order. ``frame`` is counted from 1.

        Callers take turns in every queue.

        Raises:
            UnusableImageError: if a file is not a usable image; the first such file is named.
            QueueFullError: if too many images already wait.
        """
        images = await self.decode(model, files, frame, caller)
        outputs = await self.run(model, [image.pixels for image in images], caller)
        return list(zip(images, outputs, strict=True))

    async def decode(
        self, model: Model, files: Sequence[bytes], frame: int | None = None, caller: str = ""
    ) -> list[Preprocessed]:
        """Return each file as an input of the model, in order. ``frame`` is counted from 1.

        Raises:
            UnusableImageError: if a file is not a usable image; the first such file is named.
        """
        metrics, start = self.of(model).metrics, time.perf_counter()
        decode = partial(self.decode_one, model, metrics, frame)
        jobs = [self.decoders.run(caller, decoding_cost(file), partial(decode, file)) for file in files]
        with self.of(model).batcher.expecting(len(files)):
            decoded = await together(jobs)
        images = []
        for index, image in enumerate(decoded):
            if isinstance(image, ImageError):
                raise UnusableImageError(image, index)
            if isinstance(image, BaseException):
                raise image
            images.append(image)
        metrics.statistics.compute_input.add(time.perf_counter() - start, len(images))
        stage("decode", start, images=len(images))
        return images

    async def run(self, model: Model, images: list[NDArray[np.uint8]], caller: str = "") -> list[Outputs]:
        """Return the outputs of each image (H, W, C), in order.

        Raises:
            QueueFullError: if too many images already wait.
        """
        served = self.of(model)
        note(images=len(images))
        outputs = await served.batcher.submit(images, caller)
        served.metrics.answered([int(row.probabilities.argmax()) for row in outputs])
        style = model.card.style
        for row in outputs if style is not None else ():
            assert row.style_shift is not None, "the package was checked to have this output"
            assert style is not None
            served.metrics.shifted(float(row.style_shift), style.verdict(float(row.style_shift)))
        return outputs

    async def look(
        self,
        model: Model,
        file: bytes,
        frame: int | None,
        *,
        block: str,
        channel: int,
        gate: float | None,
        caller: str = "",
    ) -> Channel:
        """Look at one channel of an image, as :meth:`Channels.look` does, in a thread of the decoders.

        There it takes turns with other callers' images, and it takes no batch from them. The metrics count predictions
        alone.

        Raises:
            UnusableImageError: if the file is not a usable image.
            UnknownChannelError, ClosedGraphError: as of :meth:`Channels.look`.
        """

        def look() -> Channel:
            return self.of(model).channels.look(
                prepared(model, self.settings, file, frame).pixels, block, channel, gate
            )

        try:
            return await self.decoders.run(caller, decoding_cost(file), look)
        except ImageError as error:
            raise UnusableImageError(error, 0) from None

    def decode_one(self, model: Model, metrics: ModelMetrics, frame: int | None, data: bytes) -> Preprocessed:
        start = time.perf_counter()
        image = prepared(model, self.settings, data, frame)
        metrics.decode_seconds.observe(time.perf_counter() - start)
        return image

    def close(self) -> None:
        """Finish the running work and end the threads."""
        self.decoders.close()
        self.lanes.close()


class BulkPredictor:
    """The same path for work in bulk, where nobody waits for one image: whole batches, in the threads that call.

    A thread decodes a batch and runs it, so an image costs no turn of an event loop and no wait for another thread.
    """

    def __init__(self, model: Model, settings: Settings) -> None:
        self.model = model
        self.settings = settings
        plan = model.plan
        self.batch = min(max(plan.batch, BULK_BATCH), settings.max_batch_size)
        """Images to give at once."""
        decoders = settings.decode_threads or usable_cpus()
        self.threads = max(decoders, plan.streams)
        """Threads that can work at once."""
        self.decoding = threading.Semaphore(decoders)
        self.room = Room(settings.max_decode_bytes)
        self.running = threading.Semaphore(plan.streams)
        self.run = model.run_beside if plan.streams > 1 else model.run

    def predict(
        self, files: Iterable[bytes], frame: int | None = None
    ) -> list[tuple[Preprocessed, Outputs] | ImageError]:
        """Return the decoded input and the outputs for each file, in order, or why it is not a usable image.

        Args:
            files: Asked for one after another, so they need not be in memory together.
            frame: Counted from 1.
        """
        images = [self.decode(file, frame) for file in files]
        pixels = [image.pixels for image in images if not isinstance(image, ImageError)]
        if not pixels:
            return [image for image in images if isinstance(image, ImageError)]
        with self.running:
            outputs = self.run(np.stack(pixels))
        rows = iter(range(len(pixels)))
        return [image if isinstance(image, ImageError) else (image, outputs.row(next(rows))) for image in images]

    def decode(self, file: bytes, frame: int | None) -> Preprocessed | ImageError:
        try:
            with self.room.taken(decoding_cost(file)), self.decoding:
                return prepared(self.model, self.settings, file, frame)
        except ImageError as error:
            return error


def prepared(model: Model, settings: Settings, data: bytes, frame: int | None) -> Preprocessed:
    """Return a file as an input of the model, unless the settings refuse what it is not for.

    Raises:
        ImageError: if the file is not a usable image.
    """
    image = preprocess(data, model.card.input, settings.max_pixels, frame)
    judgement = judged(model.card.scope, image.dicom)
    if settings.out_of_scope == "refuse" and judgement is not None and judgement.verdict == "out of scope":
        raise ImageError("out-of-scope", judgement.reason)
    return image


async def together(jobs: Sequence[Coroutine[Any, Any, T]]) -> Sequence[T | BaseException]:
    """The results of the jobs, or their errors. A lone job needs no task of its own."""
    if len(jobs) != 1:
        found: list[T | BaseException] = await asyncio.gather(*jobs, return_exceptions=True)
        return found
    try:
        return [await jobs[0]]
    except Exception as error:
        return [error]


def labels(model: Model) -> ModelLabels:
    """The labels of the metrics of a model."""
    plan = model.plan.model_dump(include={"threads", "streams", "stream_threads", "batch"})
    classes = tuple(model.card.labels)
    return ModelLabels(model.name, model.version, model.digest, model.provider, classes, tuple(plan.items()))
