"""One process or several on the same CPUs: images a second, latency and memory.

    python -m tests.benchmarks.workers --rounds 3 --seconds 4

The numbers of workers take turns within a round, and ratios are taken within it. Then what more CPUs would give is
computed, not measured: from the CPU time of an image here, and from that of the event loop, of which a process has one.
"""

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from models.cpu import usable_cpus
from service.settings import SHIPPED_REPOSITORY
from tests.benchmarks._load import Request, measure
from tests.benchmarks._processes import Others, cpu_seconds, resident_bytes, tree
from tests.service.process import ROOT, running

CONNECTIONS = (1, 8, 32)
SCAN = ROOT / "service" / "page" / "demo" / "oct.jpeg"


@dataclass(frozen=True)
class Point:
    """A number of workers under one load."""

    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    """CPU time of all workers for an image."""
    megabytes: float


def main(
    workers: Annotated[list[int] | None, typer.Option(help="Numbers to compare; 1 and the CPUs; repeatable")] = None,
    rounds: int = 3,
    seconds: Annotated[float, typer.Option(help="Length of each measurement")] = 4.0,
    loop_ms: Annotated[float, typer.Option(help="CPU time of the event loop for an image (docs/performance.md)")] = 1.7,
    repository: Path = SHIPPED_REPOSITORY,
    model: str = "oct",
) -> None:
    """Print a row for each number of workers and connections."""
    counts = workers or sorted({1, usable_cpus()})
    found: dict[tuple[int, int], list[Point]] = {(count, each): [] for each in CONNECTIONS for count in counts}
    for turn in range(rounds):
        for count in counts if turn % 2 == 0 else reversed(counts):
            with running(
                repository, RETINA_PROVIDER="cpu", RETINA_WORKERS=str(count), RETINA_LOG_LEVEL="info"
            ) as served:
                process, address, _ = served
                request = Request(
                    f"{address}/v1/models/{model}/predict?weights=none",
                    SCAN.read_bytes(),
                    (("Content-Type", "application/octet-stream"),),
                )
                measure(request, 8, 1.0)
                for connections in CONNECTIONS:
                    before = cpu_seconds(tree(process.pid))
                    with Others() as others:
                        measured = measure(request, connections, seconds)
                    taken = cpu_seconds(tree(process.pid)) - before
                    images = measured.per_second * seconds
                    found[count, connections].append(
                        Point(
                            measured.per_second,
                            measured.p50_ms,
                            measured.p99_ms,
                            1000 * taken / images,
                            resident_bytes(process.pid) / 1e6,
                        )
                    )
                    if others.cores > 0.25:
                        print(f"other processes took {others.cores:.2f} cores in round {turn + 1}")
    print(f"{usable_cpus()} CPUs, {model}, medians of {rounds} rounds of {seconds:g} s")
    print(f"{'connections':>11} {'workers':>7} {'images/s':>8} {'of one':>6} {'p50 ms':>7} {'p99 ms':>7} {'MB':>5}")
    for connections in CONNECTIONS:
        for count in counts:
            points, one = found[count, connections], found[counts[0], connections]
            ratio = median(a.per_second / b.per_second for a, b in zip(points, one, strict=True))
            print(
                f"{connections:>11} {count:>7} {median(p.per_second for p in points):>8.1f} {ratio:>6.2f} "
                f"{median(p.p50_ms for p in points):>7.1f} {median(p.p99_ms for p in points):>7.1f} "
                f"{median(p.megabytes for p in points):>5.0f}"
            )
    compute(median(point.cpu_ms for point in found[1, CONNECTIONS[-1]]) if 1 in counts else 0.0, loop_ms)


def compute(image_ms: float, loop_ms: float) -> None:
    """Print what more CPUs would give: CPUs bound it, and so does one event loop for each worker."""
    if not image_ms:
        return
    print(f"\nComputed, not measured: {image_ms:.1f} ms of CPU for an image, {loop_ms:g} of them in the event loop")
    print(f"{'CPUs':>5} {'images/s by 1 worker':>21} {'by one for 4 CPUs':>18}")
    for cpus in (2, 4, 8, 16, 32):
        most = 1000 * cpus / image_ms
        print(f"{cpus:>5} {min(most, 1000 / loop_ms):>21.0f} {min(most, max(1, cpus // 4) * 1000 / loop_ms):>18.0f}")


if __name__ == "__main__":
    typer.run(main)
