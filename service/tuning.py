"""Measure how a package runs best on this machine: threads, streams and images in a run."""

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.inference.execution import Execution
from service.inference.plans import Measurement, Plan, Tuned
from service.inference.providers import CPU
from service.inference.repository import load_package, packages
from service.inference.runtime import Model

BATCHES = (1, 2, 4, 8, 16, 32, 64)
ROUNDS = 3
GAIN = 1.03
"""A larger batch, or more streams, must answer at least so many times as many images a second to be worth it."""

Run = Callable[[NDArray[np.uint8]], list[Any]]


class Way(NamedTuple):
    """A way to run a package: so many runs at once, on so many threads each, of so many images."""

    streams: int
    threads: int
    batch: int


def load_ways(path: Path, execution: Execution) -> tuple[Model, dict[Way, Run]]:
    """Load a package with each number of threads that divides the CPUs among streams.

    Off the CPU there is one stream.

    Args:
        path: Of the package.
        execution: With one stream, and without an earlier tuning file.

    Raises:
        PackageError: if the package is not usable.
        ProviderError: if a forced provider can't run it.
    """
    model = load_package(path, execution)
    runs = {execution.threads: model.outputs_of}
    threads = execution.threads // 2 if model.provider == CPU else 0
    while threads:
        runs[threads] = load_package(path, replace(execution, provider="cpu", threads=threads)).outputs_of
        threads //= 2
    batches = [batch for batch in BATCHES if batch <= execution.largest_batch]
    return model, {
        Way(execution.threads // threads, threads, batch): run for threads, run in runs.items() for batch in batches
    }


def measure_ways(model: Model, ways: dict[Way, Run], seconds: float) -> list[Measurement]:
    """Return a point of the curve for each way: the median of rounds, which are interleaved.

    Args:
        model: Whose images the runs take.
        ways: As :func:`load_ways` gives them.
        seconds: Length of a round of one way.
    """
    spec, rng = model.card.input, np.random.default_rng(0)
    found: dict[Way, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, run in ways.items():
            images = rng.integers(0, 256, (way.batch, spec.height, spec.width, spec.channels), dtype=np.uint8)
            found[way].append(measure(run, images, way.streams, seconds))
    return [
        Measurement(
            streams=way.streams,
            threads=way.threads,
            batch=way.batch,
            images_per_second=statistics.median(rate for rate, _ in rounds),
            run_ms=1000 * statistics.median(duration for _, duration in rounds),
        )
        for way, rounds in found.items()
    ]


def measure(run: Run, images: NDArray[np.uint8], streams: int, seconds: float) -> tuple[float, float]:
    """Return images a second and the median seconds of a run, of runs at once in so many threads."""
    run(images)
    times: list[float] = []
    start = time.perf_counter()
    end = start + seconds

    def stream() -> None:
        while (began := time.perf_counter()) < end or not times:
            run(images)
            times.append(time.perf_counter() - began)

    threads = [threading.Thread(target=stream) for _ in range(streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(times) * len(images) / (time.perf_counter() - start), statistics.median(times)


def choose_plan(curve: Sequence[Measurement]) -> Plan:
    """The plan that a curve speaks for.

    A lone image gets the threads with the shortest run. Streams are used if they answer more images a second than runs
    one at a time, from the number of images on that a run of each stream takes less time for than runs on all CPUs.
    """
    lone = min((point for point in curve if point.batch == 1), key=lambda point: point.run_ms)
    best = max(curve, key=lambda point: point.images_per_second)
    one_at_a_time = [point for point in curve if point.streams == 1]
    most = max(point.images_per_second for point in one_at_a_time)
    if best.images_per_second < GAIN * most:
        return Plan(threads=lone.threads, batch=smallest_batch(one_at_a_time))
    same = [point for point in curve if (point.streams, point.threads) == (best.streams, best.threads)]
    [single] = [point for point in same if point.batch == 1]
    enough = (images for images in range(2, best.streams) if single.run_ms <= 1000 * images / most)
    return Plan(
        threads=lone.threads,
        streams=best.streams,
        stream_threads=best.threads,
        batch=smallest_batch(same),
        streams_from=next(enough, best.streams),
    )


def smallest_batch(points: Sequence[Measurement]) -> int:
    """The smallest batch that answers about as many images a second as the best."""
    most = max(point.images_per_second for point in points)
    return min(point.batch for point in points if GAIN * point.images_per_second >= most)


def newest(folder: Path) -> dict[str, Path]:
    """The package of the highest version of each model in a repository."""
    return {path.parent.parent.name: path for path in sorted(packages(folder), key=lambda path: int(path.parent.name))}


def tune(path: Path, execution: Execution, seconds: float) -> tuple[str, Tuned]:
    """Measure a package; return its digest and what the tuning file says of it."""
    model, ways = load_ways(path, execution)
    curve = measure_ways(model, ways, seconds)
    found = Tuned(name=model.name, version=model.version, provider=model.provider, plan=choose_plan(curve), curve=curve)
    return model.digest, found
