"""What a gate costs in ONNX Runtime on a CPU: exported graphs of one ResNet, plain and with gates, interleaved.

    python -m tests.benchmarks.onnx_graph --threads 1 --batch 1 --batch 4 --profile

``gate alone`` reads its gates off one position: nothing is pooled and nothing computed, so no formulation of a
pooling can cost less. With one thread, times are CPU time, which other work on the machine disturbs less.
"""

import json
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime
import torch
import typer
from torch import Tensor

from models.architecture import Architecture
from models.card import InputSpec
from models.fold import fold
from models.package import INPUT
from models.recalibration import Recalibration
from tests.benchmarks._measure import create_timer, describe_machine, interleaved, print_table
from tests.training.networks import random_network
from training.data.pipeline import Normalisation
from training.packaging.export import write_graph
from training.packaging.graph import PackagedNetwork

GRAPHS = {"plain": "none", "se": "se", "srm": "srm", "gate alone": "none"}
"""The graphs to compare, to the recalibration that their networks are built with."""
PROFILED = 20


class OnePosition(Recalibration):
    """Gates that cost nothing: the sigmoid of each channel's first position."""

    def gate(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x[:, :, 0, 0])


def main(
    depth: int = 18,
    size: int = 224,
    stem: Annotated[str, typer.Option(help="imagenet or small")] = "imagenet",
    batch: Annotated[list[int] | None, typer.Option(help="1 without it; repeatable")] = None,
    threads: int = 1,
    rounds: int = 41,
    profile: Annotated[bool, typer.Option(help="Print the time of each operator too")] = False,
) -> None:
    """Print the time of a batch, relative to the plain network's."""
    print(describe_machine(torch.device("cpu")))
    timer = create_timer(torch.device("cpu"), cpu_time=threads == 1)
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / f"{name}.onnx" for name in GRAPHS}
        for name, path in paths.items():
            write(path, name, depth, size, stem)
        sessions = {name: session(path, threads) for name, path in paths.items()}
        for count in batch or [1]:
            pixels = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
            calls = {name: partial(each.run, None, {INPUT: pixels}) for name, each in sessions.items()}
            times = interleaved(calls, rounds, timer, warm_up=3)
            print_table(f"{size} px, batch {count}, {threads} threads", times, count, base="plain")
            for name in ("plain", "srm") if profile else ():
                print_profile(name, session(paths[name], threads, str(Path(folder) / name)), pixels)


def write(path: Path, name: str, depth: int, size: int, stem: str) -> None:
    architecture = Architecture.model_validate(
        {"depth": depth, "num_classes": 4, "image_size": size, "stem": stem, "recalibration": GRAPHS[name]}
    )
    network = fold(random_network(architecture, 0))
    if name == "gate alone":
        for block in network.blocks().values():
            block.recalibration = OnePosition()
    packaged = PackagedNetwork(network, Normalisation([0.5] * 3, [0.25] * 3), 1.0, [0.0] * 4)
    write_graph(packaged, InputSpec(height=size, width=size, channels=3), path)


def session(path: Path, threads: int, profile: str | None = None) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.force_spinning_stop", "1")  # or one session's threads slow the next
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, profile
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def print_profile(name: str, profiled: Any, pixels: np.ndarray) -> None:
    """The time of each operator, of those that take a thousandth of the whole or more."""
    for _ in range(PROFILED):
        profiled.run(None, {INPUT: pixels})
    found, nodes = Counter[str](), Counter[str]()
    for event in json.loads(Path(profiled.end_profiling()).read_text()):
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            found[event["args"]["op_name"]] += event["dur"]
            nodes[event["args"]["op_name"]] += 1
    total = sum(found.values())
    print(f"{name}, by operator: {total / PROFILED / 1000:.2f} ms")
    for operator, duration in found.most_common():
        if duration >= total / 1000:
            count = nodes[operator] // PROFILED
            print(f"  {operator:<20}{count:>4} nodes{duration / PROFILED:>10.0f} us{duration / total:>8.1%}")


if __name__ == "__main__":
    typer.run(main)
