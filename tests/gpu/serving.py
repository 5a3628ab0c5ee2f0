"""The service on a GPU against bare ONNX Runtime on the same GPU, and how near CUDA's answers are to the CPU's.

    python -m tests.gpu.serving --output gpu-serving.json

Needs a GPU, what serves on it (`requirements/serve-gpu.txt`) and, for the packages with random weights that it makes,
what trains (`requirements/train.txt`); about 5 minutes on an H100. The limit is the most images a second that one
session answers from NumPy arrays ready in memory, over batch sizes. Rounds are interleaved; a figure is the median of
its rounds.
"""

import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime
import typer

from models.package import INPUT, OUTPUTS
from tests.benchmarks._bodies import images, service_requests
from tests.benchmarks._load import measure
from tests.benchmarks._measure import describe_machine
from tests.benchmarks._packages import write_package
from tests.service.process import running

SIZE = 224
BATCHES = (1, 4, 8, 16, 32, 64)
CONNECTIONS = (1, 8, 32)


def main(
    output: Annotated[Path, typer.Option(help="JSON file to write")] = Path("gpu-serving.json"),
    depth: Annotated[list[int] | None, typer.Option(help="18 and 50 without it; repeatable")] = None,
    rounds: int = 3,
    seconds: Annotated[float, typer.Option(help="Length of each measurement")] = 2.0,
    provider: Annotated[str, typer.Option(help="cuda or cpu")] = "cuda",
    clients: Annotated[int, typer.Option(help="Processes that send requests")] = 2,
) -> None:
    """Print tables and write every figure as JSON."""
    import torch

    machine = describe_machine(torch.device(provider))
    print(machine, flush=True)
    if provider == "cuda":
        onnxruntime.preload_dlls()
    figures: dict[str, Any] = {"machine": machine, "size": SIZE, "rounds": rounds, "seconds": seconds}
    depths = depth or [18, 50]
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder)
        paths = {path.parts[-3]: path for path in (write_package(repository, each) for each in depths)}
        for name, path in paths.items():
            figures[name] = {"bare": bare(path, provider, seconds)}
            if provider == "cuda":
                figures[name]["difference from the CPU"] = differences(path)
        start = time.perf_counter()
        with running(repository, RETINA_PROVIDER=provider, RETINA_MAX_REQUESTS="256") as (process, address, _):
            figures["seconds to ready"] = time.perf_counter() - start
            cells = {
                (name, label, connections): (request, connections)
                for name in paths
                for label, request in service_requests(address, name, SIZE).items()
                for connections in CONNECTIONS
            }
            found: dict[Any, list[Any]] = {cell: [] for cell in cells}
            for _ in range(rounds):
                for cell, (request, connections) in cells.items():
                    found[cell].append(measure(request, connections, seconds, clients))
            status = Path(f"/proc/{process.pid}/status").read_text()
            figures["resident memory"] = status.partition("VmRSS:")[2].split("\n", 1)[0].strip()
    print(f"\n{'':<34}{'img/s':>8}{'/ limit':>9}{'p50 ms':>9}{'p99 ms':>9}  failed, by status")
    for (name, label, connections), measured in found.items():
        limit = max(row["images/s"] for row in figures[name]["bare"].values())
        row = {
            "images/s": statistics.median(each.per_second for each in measured),
            "p50 ms": statistics.median(each.p50_ms for each in measured),
            "p99 ms": statistics.median(each.p99_ms for each in measured),
            "failed": dict(sum((Counter(each.failed) for each in measured), Counter())),
        }
        row["relative to the limit"] = row["images/s"] / limit
        figures[name].setdefault("service", {})[f"{label}, {connections} connections"] = row
        print(
            f"{f'{name}, {label}, {connections}':<34}{row['images/s']:>8.0f}{row['relative to the limit']:>9.3f}"
            f"{row['p50 ms']:>9.2f}{row['p99 ms']:>9.2f}  {row['failed'] or ''}"
        )
    print(f"ready after {figures['seconds to ready']:.1f} s, resident {figures['resident memory']}")
    output.write_text(json.dumps(figures, indent=2))


def session(path: Path, provider: str, **options: str) -> onnxruntime.InferenceSession:
    """A session that really runs on the provider.

    Raises:
        SystemExit: if ONNX Runtime took another.
    """
    name = "CUDAExecutionProvider" if provider == "cuda" else "CPUExecutionProvider"
    chosen = [(name, options), "CPUExecutionProvider"] if provider == "cuda" else [name]
    made = onnxruntime.InferenceSession(path, providers=chosen)
    if made.get_providers()[0] != name:
        raise SystemExit(f"ONNX Runtime runs on {made.get_providers()[0]} and not on {name}")
    return made


def bare(path: Path, provider: str, seconds: float) -> dict[str, dict[str, float]]:
    """Images a second of ONNX Runtime alone: from arrays by batch size and, on CUDA, from and to the GPU's memory."""
    runs: dict[str, tuple[Callable[[], Any], int]] = {}
    plain = session(path, provider)
    for batch in BATCHES:
        array = images(batch, SIZE)
        runs[f"batch {batch}"] = (lambda array=array: plain.run(list(OUTPUTS), {INPUT: array})), batch  # type: ignore[misc]
    if provider == "cuda":
        for batch in (1, 32):
            binding = plain.io_binding()
            binding.bind_ortvalue_input(INPUT, onnxruntime.OrtValue.ortvalue_from_numpy(images(batch, SIZE), "cuda", 0))
            for name in OUTPUTS:
                binding.bind_output(name, "cuda")
            runs[f"bound to the GPU, batch {batch}"] = (lambda b=binding: plain.run_with_iobinding(b)), batch  # type: ignore[misc]
    found = {}
    for name, (run, batch) in runs.items():
        for _ in range(5):
            run()
        times = []
        end = time.perf_counter() + seconds / 2
        while (start := time.perf_counter()) < end:
            run()
            times.append(time.perf_counter() - start)
        median = statistics.median(times)
        found[name] = {"images/s": batch / median, "ms": 1000 * median}
        print(f"{path.parts[-3]}, bare, {name:<28}{batch / median:>9.0f} img/s{1000 * median:>9.2f} ms", flush=True)
    return found


def differences(path: Path) -> dict[str, dict[str, float]]:
    """Largest difference of each output from the CPU's on 16 images, with and without TF32 in matrix products."""
    array = images(16, SIZE)
    array[0] = 128
    expected = session(path, "cpu").run(list(OUTPUTS), {INPUT: array})
    found = {}
    for label, value in (("TF32", "1"), ("no TF32", "0")):
        answers = session(path, "cuda", use_tf32=value).run(list(OUTPUTS), {INPUT: array})
        pairs = zip(OUTPUTS, answers, expected, strict=True)
        found[label] = {name: float(np.abs(ours - theirs).max()) for name, ours, theirs in pairs}
        print(f"{path.parts[-3]}, CUDA with {label}, largest difference: {found[label]}", flush=True)
    return found


if __name__ == "__main__":
    typer.run(main)
