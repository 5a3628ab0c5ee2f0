"""What the training benchmarks share: a clock for CPU and GPU, interleaved rounds, ratios, the machine in words."""

import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from service.inference.plans import processor

Call = Callable[[], Any]
Timer = Callable[[Call], float]


def create_timer(device: torch.device, *, cpu_time: bool = False) -> Timer:
    """Return a function that measures the seconds a call takes: by events on a GPU, wall time or CPU time on a CPU."""
    if device.type == "cuda":

        def by_events(call: Call) -> float:
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize(device)
            start.record()
            call()
            end.record()
            torch.cuda.synchronize(device)
            return float(start.elapsed_time(end)) / 1000

        return by_events

    clock = time.process_time if cpu_time else time.perf_counter

    def by_clock(call: Call) -> float:
        start = clock()
        call()
        return clock() - start

    return by_clock


def interleaved(calls: Mapping[str, Call], rounds: int, timer: Timer, *, warm_up: int = 2) -> dict[str, list[float]]:
    """Time every call once a round, each round beginning with another, so that a slow minute slows all of them."""
    for call in calls.values():
        for _ in range(warm_up):
            timer(call)
    times: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for index in range(rounds):
        first = index % len(names)
        for name in names[first:] + names[:first]:
            times[name].append(timer(calls[name]))
    return times


def print_table(title: str, times: Mapping[str, list[float]], images: int, base: str | None = None) -> None:
    """Images a second and, if ``base`` is named, the time relative to its.

    The ratio is the median of those of each round, with their quartiles, and that of the fastest rounds, which is the
    steadier one where other work disturbs the machine.
    """
    print(
        f"\n{title:<34}{'img/s':>9}{'ms':>10}" + (f"{'time / ' + base:>16}   quartiles        fastest" if base else "")
    )
    for name, seconds in times.items():
        median = statistics.median(seconds)
        line = f"{name:<34}{images / median:>9.1f}{1000 * median:>10.1f}"
        if base:
            ratios = [ours / theirs for ours, theirs in zip(seconds, times[base], strict=True)]
            low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
            fastest = min(seconds) / min(times[base])
            line += f"{statistics.median(ratios):>16.3f}   {low:.3f} to {high:.3f}   {fastest:.3f}"
        print(line)


def describe_machine(device: torch.device) -> str:
    """Processor, threads, GPU and the versions of the libraries that decide the speed."""
    facts = [
        f"CPU: {processor()}, {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} torch threads",
        ", ".join(f"{name} {installed(name)}" for name in ("torch", "monai", "onnxruntime")),
    ]
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        facts.append(
            f"GPU: {properties.name}, {properties.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}, "
            f"cuDNN {torch.backends.cudnn.version()}, TF32 in convolutions: {torch.backends.cudnn.allow_tf32}"
        )
    return "\n".join(facts)


def installed(package: str) -> str:
    """Version of a package, in words where there is none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
