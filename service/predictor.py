"""The one seam of the service: decode, batch, run, encode."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from models.preprocessing import ImageError, preprocess
from service.batching import Batcher, QueueFullError
from service.cpu import usable_cpus
from service.metrics import Metrics, ModelMetrics
from service.problems import ProblemError
from service.repository import Repository
from service.runtime import Model, Outputs
from service.settings import Settings
from service.uploads import Upload


class Predictor:
    """From uploads to outputs, for every model of a repository.

    The event loop neither decodes nor runs a model: images are decoded in a pool of threads, and batches run one
    after another in a single thread, whose session uses all the CPUs.
    """

    def __init__(self, repository: Repository, settings: Settings, metrics: Metrics) -> None:
        self.settings = settings
        self.decoders = ThreadPoolExecutor(settings.decode_threads or usable_cpus(), "decode")
        self.runner = ThreadPoolExecutor(1, "run")
        self.model_metrics = {id(model): ModelMetrics(metrics, model) for model in repository}
        self.batchers = {
            id(model): Batcher(
                model,
                self.runner,
                self.model_metrics[id(model)],
                max_batch_size=settings.max_batch_size,
                delay_s=settings.batch_delay_ms / 1000,
                queue_size=settings.queue_size,
            )
            for model in repository
        }

    async def predict(self, model: Model, uploads: list[Upload]) -> list[Outputs]:
        """Return the outputs of each upload, in order.

        Raises:
            ProblemError: if an upload is not a usable image, or too many images wait already.
        """
        metrics = self.model_metrics[id(model)]
        loop = asyncio.get_running_loop()
        decode = partial(self.decode, model, metrics)
        decoded = await asyncio.gather(
            *(loop.run_in_executor(self.decoders, decode, upload.data) for upload in uploads), return_exceptions=True
        )
        images = []
        for upload, pixels in zip(uploads, decoded, strict=True):
            if isinstance(pixels, ImageError):
                raise ProblemError.of_image(pixels, upload.name)
            if isinstance(pixels, BaseException):
                raise pixels
            images.append(pixels)
        try:
            outputs = await self.batchers[id(model)].submit(images)
        except QueueFullError as error:
            raise ProblemError.overload("queue-full", str(error)) from None
        metrics.images.inc(len(outputs))
        return outputs

    def decode(self, model: Model, metrics: ModelMetrics, data: bytes) -> NDArray[np.uint8]:
        start = time.perf_counter()
        pixels = preprocess(data, model.card.input, self.settings.max_pixels).pixels
        metrics.decode_seconds.observe(time.perf_counter() - start)
        return pixels

    def close(self) -> None:
        """Finish what runs and end the threads."""
        self.decoders.shutdown()
        self.runner.shutdown()
