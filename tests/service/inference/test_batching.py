"""Micro-batching, with a model whose runs the test holds back and observes."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.inference import batching
from service.inference.batching import Batcher
from service.inference.errors import QueueFullError
from service.inference.runtime import Outputs
from service.observing.statistics import Statistics


class Gauge:
    """Stands in for a metric and keeps what it was told."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def set(self, value: float) -> None:
        self.values.append(value)

    observe = set


class Metrics:
    def __init__(self) -> None:
        self.queue_length, self.queue_seconds = Gauge(), Gauge()
        self.batch_size, self.inference_seconds = Gauge(), Gauge()
        self.statistics = Statistics()


class Echo:
    """A model that answers each image with its own first pixel; ``gate`` holds every run back while cleared."""

    name = "echo"

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.batches: list[int] = []

    def run(self, images: NDArray[np.uint8]) -> Outputs:
        assert self.gate.wait(10)
        self.batches.append(len(images))
        if (images == 255).any():
            raise RuntimeError("no such image")
        values = images[:, 0, 0, :].astype(np.float32)
        return Outputs(values, values, values)


def image(value: int) -> NDArray[np.uint8]:
    return np.full((4, 4, 1), value, np.uint8)


def run_with(test: Callable[[Batcher, Echo, Any], Any], **options: Any) -> None:
    async def body() -> None:
        model, metrics = Echo(), Metrics()
        settings = {"max_batch_size": 4, "delay_s": 0.0, "queue_size": 8} | options
        with ThreadPoolExecutor(1) as executor:
            await asyncio.wait_for(test(Batcher(model, executor, metrics, **settings), model, metrics), 20)  # type: ignore[arg-type]

    asyncio.run(body())


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0.01)


def test_a_lone_image_runs_at_once_and_alone() -> None:
    async def test(batcher: Batcher, model: Echo, _: Any) -> None:
        [outputs] = await batcher.submit([image(7)])
        assert outputs.probabilities.tolist() == [7]
        assert model.batches == [1]

    run_with(test)


def test_what_waits_while_the_model_runs_forms_the_next_batches() -> None:
    async def test(batcher: Batcher, model: Echo, metrics: Any) -> None:
        model.gate.clear()
        tasks = [asyncio.create_task(batcher.submit([image(value)])) for value in range(7)]
        await settle()
        model.gate.set()
        answers = await asyncio.gather(*tasks)
        assert [answer[0].probabilities.tolist() for answer in answers] == [[value] for value in range(7)]
        assert model.batches == [1, 4, 2]
        assert metrics.batch_size.values == [1, 4, 2]

    run_with(test)


def test_a_delay_gathers_a_batch_and_a_full_one_does_not_wait() -> None:
    async def test(batcher: Batcher, model: Echo, _: Any) -> None:
        await asyncio.gather(*(batcher.submit([image(value)]) for value in range(3)))
        assert model.batches == [3]
        before = asyncio.get_running_loop().time()
        batcher.delay_s = 30
        await asyncio.gather(*(batcher.submit([image(value)]) for value in range(4)))
        assert model.batches == [3, 4]
        assert asyncio.get_running_loop().time() - before < 10

    run_with(test, delay_s=0.2)


def test_beyond_the_queue_the_refusal_is_immediate_and_whole() -> None:
    async def test(batcher: Batcher, model: Echo, _: Any) -> None:
        model.gate.clear()
        running = asyncio.create_task(batcher.submit([image(0)]))
        await settle()
        waiting = asyncio.create_task(batcher.submit([image(value) for value in range(7)]))
        await settle()
        with pytest.raises(QueueFullError, match="7 images wait"):
            await batcher.submit([image(1), image(2)])
        assert len(batcher.queue) == 7
        last = asyncio.create_task(batcher.submit([image(9)]))
        model.gate.set()
        await asyncio.gather(running, waiting)
        assert (await last)[0].probabilities.tolist() == [9]

    run_with(test)


def test_who_gave_up_waiting_is_not_run() -> None:
    async def test(batcher: Batcher, model: Echo, _: Any) -> None:
        model.gate.clear()
        running = asyncio.create_task(batcher.submit([image(0)]))
        await settle()
        impatient = asyncio.create_task(batcher.submit([image(1), image(2)]))
        patient = asyncio.create_task(batcher.submit([image(3)]))
        await settle()
        impatient.cancel()
        await settle()
        model.gate.set()
        await running
        assert (await patient)[0].probabilities.tolist() == [3]
        assert model.batches == [1, 1]

    run_with(test)


def test_who_gave_up_waiting_leaves_its_place_to_others() -> None:
    async def test(batcher: Batcher, model: Echo, metrics: Any) -> None:
        model.gate.clear()
        running = asyncio.create_task(batcher.submit([image(0)]))
        await settle()
        impatient = asyncio.create_task(batcher.submit([image(1), image(2)]))
        patient = asyncio.create_task(batcher.submit([image(3)]))
        await settle()
        impatient.cancel()
        await settle()
        assert [int(entry.pixels[0, 0, 0]) for entry in batcher.queue] == [3]
        assert metrics.queue_length.values[-1] == 1
        others = asyncio.create_task(batcher.submit([image(4), image(5)]))  # refused if the places were still taken
        await settle()
        model.gate.set()
        await asyncio.gather(running, patient, others)
        assert model.batches == [1, 3]

    run_with(test, queue_size=3)


def test_an_image_given_up_at_the_moment_of_its_batch_does_not_run() -> None:
    """Its caller has not yet had its turn to take it out of the queue."""

    async def test(batcher: Batcher, model: Echo, _: Any) -> None:
        tasks = [asyncio.create_task(batcher.submit([image(value)])) for value in (1, 2)]
        await settle()
        tasks[0].cancel()
        batcher.delay_s = 0
        batcher.dispatch()
        assert (await tasks[1])[0].probabilities.tolist() == [2]
        assert model.batches == [1]

    run_with(test, delay_s=30.0)


def test_a_failed_batch_fails_its_images_and_the_next_one_works() -> None:
    async def test(batcher: Batcher, model: Echo, _: Any) -> None:
        with pytest.raises(RuntimeError, match="no such image"):
            await batcher.submit([image(255)])
        assert (await batcher.submit([image(5)]))[0].probabilities.tolist() == [5]
        assert model.batches == [1, 1]

    run_with(test)


def test_more_images_than_a_batch_in_one_request() -> None:
    async def test(batcher: Batcher, model: Echo, _: Any) -> None:
        answers = await batcher.submit([image(value) for value in range(8)])
        assert [answer.probabilities.tolist() for answer in answers] == [[value] for value in range(8)]
        assert model.batches == [4, 4]

    run_with(test)


def test_callers_take_turns_in_a_batch_and_have_a_part_of_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "SHARED_RUN_S", 1000.0)

    async def test(batcher: Batcher, model: Echo, _: Any) -> None:
        model.gate.clear()
        running = asyncio.create_task(batcher.submit([image(0)], "greedy"))
        await settle()
        greedy = asyncio.create_task(batcher.submit([image(value) for value in range(6)], "greedy"))
        await settle()
        with pytest.raises(QueueFullError, match="6 of your images wait"):
            await batcher.submit([image(1)], "greedy")
        modest = asyncio.create_task(batcher.submit([image(8), image(9)], "modest"))
        await settle()
        model.gate.set()
        await asyncio.wait([modest, greedy], return_when=asyncio.FIRST_COMPLETED)
        assert model.batches[:2] == [1, 4]
        assert modest.done()
        assert not greedy.done()
        assert [row.probabilities.tolist() for row in await modest] == [[8], [9]]
        await asyncio.gather(running, greedy)

    run_with(test, caller_share=0.75)


def test_batches_of_a_slow_model_are_small_while_callers_share_it() -> None:
    async def test(batcher: Batcher, model: Echo, _: Any) -> None:
        model.gate.clear()
        running = asyncio.create_task(batcher.submit([image(0)], "greedy"))
        await asyncio.sleep(0.1)  # so slow is this model
        greedy = asyncio.create_task(batcher.submit([image(value) for value in range(3)], "greedy"))
        modest = asyncio.create_task(batcher.submit([image(9)], "modest"))
        await settle()
        model.gate.set()
        await asyncio.gather(running, greedy, modest)
        assert model.batches[:2] == [1, 1]

    run_with(test)
