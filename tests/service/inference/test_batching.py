"""Micro-batching, with a model whose runs the test holds back and observes."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.inference import batching
from service.inference import lanes as lanes_module
from service.inference.batching import Batcher
from service.inference.errors import QueueFullError
from service.inference.lanes import BUSY_FOR_S, Lanes
from service.inference.plans import Plan
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

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.gate = threading.Event()
        self.gate.set()
        self.batches: list[int] = []
        self.beside = 0
        self.stop_after = 0
        """Hold back the runs after this one."""

    def run(self, images: NDArray[np.uint8]) -> Outputs:
        assert self.gate.wait(10)
        self.batches.append(len(images))
        if len(self.batches) == self.stop_after:
            self.gate.clear()
        if (images == 255).any():
            raise RuntimeError("no such image")
        values = images[:, 0, 0, :].astype(np.float32)
        return Outputs(values, values, values)

    def run_beside(self, images: NDArray[np.uint8]) -> Outputs:
        self.beside += 1
        return self.run(images)


def image(value: int) -> NDArray[np.uint8]:
    return np.full((4, 4, 1), value, np.uint8)


ALONE = Plan(threads=1, batch=16)


def run_with(test: Callable[[Batcher, Echo, Any], Any], plan: Plan = ALONE, **options: Any) -> None:
    async def body() -> None:
        model, metrics = Echo(plan), Metrics()
        settings = {"max_batch_size": 4, "delay_s": 0.0, "queue_size": 8} | options
        with closing(Lanes()) as lanes:
            await asyncio.wait_for(test(Batcher(model, lanes, metrics, **settings), model, metrics), 20)  # type: ignore[arg-type]

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
        model.stop_after = 2
        model.gate.set()
        await asyncio.wait([modest, greedy], return_when=asyncio.FIRST_COMPLETED)
        assert model.batches[:2] == [1, 4]
        assert modest.done()
        assert not greedy.done()
        assert [row.probabilities.tolist() for row in await modest] == [[8], [9]]
        model.gate.set()
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


STREAMS = Plan(threads=2, streams=2, batch=4, streams_from=2)


def test_with_streams_a_lone_image_has_the_cpus_to_itself() -> None:
    async def test(batcher: Batcher, model: Echo, _: Any) -> None:
        await batcher.submit([image(7)])
        assert (model.batches, model.beside) == ([1], 0)

    run_with(test, STREAMS)


def test_streams_run_at_once_and_every_image_gets_its_own_row() -> None:
    async def test(batcher: Batcher, model: Echo, _: Any) -> None:
        model.gate.clear()
        waiting = asyncio.create_task(batcher.submit([image(value) for value in range(6)]))
        await settle()
        assert batcher.lanes.runs == 2
        model.gate.set()
        assert [row.probabilities.tolist() for row in await waiting] == [[value] for value in range(6)]
        assert (sum(model.batches), model.beside) == (6, len(model.batches))

    run_with(test, STREAMS)


def test_an_image_that_comes_beside_a_stream_takes_a_free_one() -> None:
    async def test(batcher: Batcher, model: Echo, _: Any) -> None:
        model.gate.clear()
        waiting = [asyncio.create_task(batcher.submit([image(0), image(1)]))]
        await settle()
        waiting.append(asyncio.create_task(batcher.submit([image(2)])))
        await settle()
        assert (batcher.lanes.runs, len(batcher.queue)) == (2, 1)  # two streams are all
        model.gate.set()
        await asyncio.gather(*waiting)
        assert model.beside == 3

    run_with(test, STREAMS.model_copy(update={"batch": 1}))


def test_below_the_plans_number_an_image_waits_for_all_cpus() -> None:
    """Of four streams one still runs, and one image comes: all CPUs will answer it sooner than one."""

    async def test(batcher: Batcher, model: Echo, _: Any) -> None:
        batcher.lanes.runs = batcher.lanes.images = 1
        lone = asyncio.create_task(batcher.submit([image(2)]))
        await settle()
        assert (model.batches, len(batcher.queue)) == ([], 1)
        batcher.lanes.finished(1)
        await lone
        assert (model.batches, model.beside) == ([1], 0)

    run_with(test, Plan(threads=4, streams=4, batch=4, streams_from=4))


def test_models_take_turns_and_one_without_streams_is_not_passed_over() -> None:
    async def body() -> None:
        with closing(Lanes()) as lanes:
            models = [Echo(STREAMS.model_copy(update={"batch": 1})), Echo(ALONE)]
            many, one = (
                Batcher(model, lanes, Metrics(), max_batch_size=4, delay_s=0.0, queue_size=99)  # type: ignore[arg-type]
                for model in models
            )
            models[0].gate.clear()
            busy = asyncio.create_task(many.submit([image(value) for value in range(40)]))
            await settle()
            other = asyncio.create_task(one.submit([image(9)]))
            await settle()
            models[0].gate.set()
            await other
            assert len(models[0].batches) < 10
            assert not busy.done()
            await busy

    asyncio.run(asyncio.wait_for(body(), 20))


def test_a_failed_run_gives_its_stream_back() -> None:
    async def test(batcher: Batcher, model: Echo, _: Any) -> None:
        for _ in range(3):
            with pytest.raises(RuntimeError, match="no such image"):
                await batcher.submit([image(255), image(255)])
        while batcher.lanes.runs:  # noqa: ASYNC110 - the error of the first run is the answer, while the other goes on
            await asyncio.sleep(0.01)
        assert (batcher.lanes.images, batcher.lanes.alone) == (0, False)
        await batcher.submit([image(1)])

    run_with(test, STREAMS)


def test_an_image_in_decoding_counts_as_work() -> None:
    async def test(batcher: Batcher, model: Echo, _: Any) -> None:
        with batcher.expecting(1):
            await batcher.submit([image(2)])
        assert (model.batches, model.beside) == ([1], 1)
        await asyncio.sleep(2 * BUSY_FOR_S)
        await batcher.submit([image(2)])
        assert (model.batches, model.beside) == ([1, 1], 1)

    run_with(test, STREAMS)


def test_for_a_moment_after_there_was_work_for_streams_runs_still_go_beside_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes_module, "BUSY_FOR_S", 1000.0)

    async def test(batcher: Batcher, model: Echo, _: Any) -> None:
        await batcher.submit([image(0), image(1)])
        beside = model.beside
        await batcher.submit([image(2)])
        assert model.beside == beside + 1
        batcher.lanes.busy_until = 0.0  # the moment has passed
        await batcher.submit([image(2)])
        assert model.beside == beside + 1

    run_with(test, STREAMS)


def test_a_stream_leaves_half_of_its_share_for_the_next_run() -> None:
    async def test(batcher: Batcher, model: Echo, _: Any) -> None:
        model.gate.clear()
        waiting = asyncio.create_task(batcher.submit([image(value) for value in range(8)]))
        await settle()
        assert (batcher.lanes.runs, len(batcher.queue)) == (2, 4)
        model.gate.set()
        await waiting
        assert model.batches[:2] == [2, 2]

    run_with(test, STREAMS)


def test_nothing_runs_beside_a_run_that_has_all_cpus() -> None:
    async def test(batcher: Batcher, model: Echo, _: Any) -> None:
        model.gate.clear()
        lone = asyncio.create_task(batcher.submit([image(0)]))
        await settle()
        others = asyncio.create_task(batcher.submit([image(1), image(2), image(3)]))
        await settle()
        assert (batcher.lanes.runs, len(batcher.queue)) == (1, 3)
        model.gate.set()
        await asyncio.gather(lone, others)

    run_with(test, STREAMS)
