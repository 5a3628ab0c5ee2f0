"""What a training step takes beside other work: torch's own waiting, training's, and a single thread.

    python -m tests.benchmarks.busy_machine

Each figure is the median time of a step in a process of its own: SRM-ResNet-18, 28 px, stem `small`, half width, batch
32. The processes run in turn, alone and with a busy loop for each CPU. `torch`: as many threads as CPUs, which spin at
the end of each operation as libgomp does by default. `training`: the same with ``training``'s GOMP_SPINCOUNT.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from models.architecture import Architecture
from models.cpu import usable_cpus
from models.resnet import ResNet

BATCH, STEPS, ROUNDS = 32, 12, 5
WAYS = {
    "torch": ({"GOMP_SPINCOUNT": "300000"}, usable_cpus()),
    "training": ({"GOMP_SPINCOUNT": "1000"}, usable_cpus()),
    "one thread": ({}, 1),
}


def measure(threads: int) -> float:
    """Milliseconds of a step."""
    torch.set_num_threads(threads)
    network = ResNet(Architecture(depth=18, stem="small", width=0.5, num_classes=4, image_size=28)).train()
    images, labels = torch.randn(BATCH, 3, 28, 28), torch.arange(BATCH) % 4
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-3)
    times = []
    for _ in range(STEPS):
        start = time.perf_counter()
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(images), labels).backward()
        optimiser.step()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[2:])


@contextmanager
def busy(loops: int) -> Iterator[None]:
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def main() -> None:
    print(f"{'milliseconds a step':<24}" + "".join(f"{name:>14}" for name in WAYS))
    for loops in (0, usable_cpus()):
        found: dict[str, list[float]] = {name: [] for name in WAYS}
        with busy(loops):
            for _ in range(ROUNDS):
                for name, (variables, threads) in WAYS.items():
                    command = [sys.executable, "-m", "tests.benchmarks.busy_machine", str(threads)]
                    done = subprocess.run(command, env=os.environ | variables, capture_output=True, check=True)
                    found[name].append(float(done.stdout))
        line = "".join(f"{statistics.median(times):>14.0f}" for times in found.values())
        print(f"{f'{loops} busy loops':<24}{line}   worst" + "".join(f"{max(times):>8.0f}" for times in found.values()))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(measure(int(sys.argv[1])))
    else:
        main()
