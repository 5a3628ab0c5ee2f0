"""Throughput of data loading, of the training step and of both, and of inference: plain ResNet, SE, SRM, official SRM.

    python -m tests.benchmarks.training_speed --help
    python -m tests.benchmarks.training_speed --threads 1 --cpu-time --batch 8 --rounds 15
    python -m tests.benchmarks.training_speed --threads 1 --size 28 --stem small --variant plain --variant srm --profile
    python -m tests.benchmarks.training_speed --depth 50 --size 224 --batch 128 --dtype bfloat16 --channels-last

All networks are timed in turn, round after round, and compared within each round, so the ratios hold on a machine
whose speed varies. Images are random; the loader and its augmentation are those of `python -m training fit`.
"""

import logging
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from enum import StrEnum
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
from models.resnet import ResNet
from tests.benchmarks._measure import Timer, create_timer, describe_machine, interleaved, print_table
from tests.benchmarks._networks import VARIANTS, create_variant
from training.data.augmentation import BatchAugmentation
from training.data.pipeline import Normalisation, PrepareTrainingBatch, cached, loader
from training.datasets import Item
from training.device import choose_device
from training.packaging.export import write_graph
from training.packaging.graph import PackagedNetwork
from training.recipe import AugmentationSpec

CLASSES = 4
NORMALISATION = Normalisation([0.5] * 3, [0.25] * 3)


class Stem(StrEnum):
    imagenet = "imagenet"
    small = "small"


class Precision(StrEnum):
    float32 = "float32"
    bfloat16 = "bfloat16"


def main(
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    depth: int = 18,
    size: Annotated[int, typer.Option(help="Height and width of the images in pixels")] = 128,
    stem: Stem = Stem.imagenet,
    width: float = 1.0,
    batch: int = 16,
    dtype: Annotated[Precision, typer.Option(help="bfloat16 is autocast")] = Precision.float32,
    channels_last: Annotated[bool, typer.Option("--channels-last")] = False,
    compiled: Annotated[bool, typer.Option("--compile", help="torch.compile every network")] = False,
    rounds: int = 5,
    threads: Annotated[int, typer.Option(help="CPU threads; 0 leaves torch's choice")] = 0,
    cpu_time: Annotated[bool, typer.Option("--cpu-time", help="CPU time rather than wall time")] = False,
    onnx: Annotated[bool, typer.Option(help="Inference in ONNX Runtime on the CPU as well")] = True,
    by_operation: Annotated[
        bool, typer.Option("--profile", help="CPU time of a step by operation, and no more")
    ] = False,
    variant: Annotated[list[str] | None, typer.Option(help=f"Any of {', '.join(VARIANTS)}; repeatable")] = None,
) -> None:
    """Print img/s and ratios to the first variant."""
    place = choose_device(device)
    if threads:
        torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = True  # image sizes are fixed
    variants = variant or list(VARIANTS)
    architecture = Architecture.model_validate(
        {"depth": depth, "stem": stem.value, "width": width, "num_classes": CLASSES, "image_size": size}
    )
    step = Step(place, dtype is Precision.bfloat16, torch.channels_last if channels_last else torch.contiguous_format)
    timer = create_timer(place, cpu_time=cpu_time)
    print(describe_machine(place))
    print(
        f"ResNet-{depth}, stem {stem.value}, width {width:g}, {size} px, batch {batch}, {dtype.value}"
        f"{', channels last' if channels_last else ''}{', compiled' if compiled else ''}; {rounds} rounds, "
        f"{'CPU' if cpu_time and place.type == 'cpu' else 'GPU' if place.type == 'cuda' else 'wall'} time"
    )

    def build(name: str) -> ResNet:
        network = step.placed(create_variant(name, architecture)).train()
        if compiled:
            network.compile()
        return network

    prepared = batches(size, batch, place)
    if place.type == "cuda":
        print("\nPeak memory of a training step, MiB")
        for name in variants:
            print(f"{name:<34}{peak_memory(partial(build, name), step, next(prepared)):>9.0f}")
    networks = {name: build(name) for name in variants}
    if by_operation:
        print_profile(networks, step, next(prepared), rounds)
        return
    compare_training(networks, step, prepared, batch, rounds, timer)
    compare_inference(networks, step, next(prepared)[0], rounds, timer, compiled=compiled)
    if onnx:
        compare_onnx(networks, size, batch, rounds, create_timer(torch.device("cpu"), cpu_time=cpu_time))


class Step:
    """A training step on a device, with its precision and memory format."""

    def __init__(self, device: torch.device, half: bool, layout: torch.memory_format) -> None:
        self.device = device
        self.half = half
        self.layout = layout

    def placed(self, network: ResNet) -> ResNet:
        network.to(memory_format=self.layout)  # type: ignore[call-overload]  # torch's annotations leave it out
        return network.to(self.device)

    def logits(self, network: ResNet, images: Tensor) -> Tensor:
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.half):
            logits: Tensor = network(images.contiguous(memory_format=self.layout))
        return logits.float()

    def create(self, network: ResNet) -> Callable[[tuple[Tensor, Tensor]], None]:
        """The whole step: forward, loss, backward, optimiser."""
        optimiser = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)

        def run(prepared: tuple[Tensor, Tensor]) -> None:
            images, targets = prepared
            optimiser.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(self.logits(network, images), targets).backward()
            optimiser.step()

        return run


def batches(size: int, batch: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Augmented and normalised batches on the device, without end, from 8 batches of random images in memory."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (8 * batch, size, size, 3), dtype=np.uint8)
    items = [Item(image, index % CLASSES, str(index), str(index)) for index, image in enumerate(pixels)]
    spec = InputSpec(height=size, width=size, channels=3, crop="none", interpolation="bilinear")
    source = loader(cached(items, spec), batch, shuffle=True)
    augmentation = BatchAugmentation(AugmentationSpec())
    augmentation.set_random_state(0)
    prepare = PrepareTrainingBatch(NORMALISATION, augmentation, None, CLASSES)
    while True:
        for raw in source:
            yield prepare(raw, device)


def peak_memory(build: Callable[[], ResNet], step: Step, prepared: tuple[Tensor, Tensor]) -> float:
    """MiB that a network alone on the GPU needs at most during a step: weights, optimiser, activations."""
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(step.device)
    run = step.create(build())
    for _ in range(2):
        run(prepared)
    torch.cuda.reset_peak_memory_stats(step.device)
    run(prepared)
    return (torch.cuda.max_memory_allocated(step.device) - before) / 2**20


def compare_training(
    networks: dict[str, ResNet],
    step: Step,
    prepared: Iterator[tuple[Tensor, Tensor]],
    batch: int,
    rounds: int,
    timer: Timer,
) -> None:
    fixed = next(prepared)

    def load_and_run(run: Callable[[tuple[Tensor, Tensor]], None]) -> None:
        run(next(prepared))

    steps = {name: step.create(network) for name, network in networks.items()}
    calls: dict[str, Callable[[], Any]] = {"loading": lambda: next(prepared)}
    calls |= {f"step {name}": partial(run, fixed) for name, run in steps.items()}
    calls |= {f"both {name}": partial(load_and_run, run) for name, run in steps.items()}
    times = interleaved(calls, rounds, timer)
    print_table("data loading alone", {"loading": times["loading"]}, batch)
    for kind, title in (("step ", "training step alone"), ("both ", "loading and training step")):
        chosen = {name.removeprefix(kind): values for name, values in times.items() if name.startswith(kind)}
        print_table(title, chosen, batch, base=next(iter(chosen)))


def print_profile(
    networks: dict[str, ResNet], step: Step, prepared: tuple[Tensor, Tensor], rounds: int, *, rows: int = 25
) -> None:
    """Median CPU time of an operation's own in a step, those first whose time differs most from the first network's."""
    steps = {name: step.create(network) for name, network in networks.items()}
    found: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in steps}
    for index in range(2 + rounds):
        for name, run in steps.items():
            with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
                run(prepared)
            if index >= 2:  # the first two are the warm-up
                for event in profile.key_averages():
                    found[name][event.key].append(event.self_cpu_time_total / 1000)
    base, *others = ({key: statistics.median(values) for key, values in of.items()} for of in found.values())
    operations = {key for times in (base, *others) for key in times}

    def difference(key: str) -> float:
        return max((abs(times.get(key, 0) - base.get(key, 0)) for times in others), default=base.get(key, 0))

    print(f"\n{'own time of an operation, ms':<50}" + "".join(f"{name:>17}" for name in found))
    for key in sorted(operations, key=difference, reverse=True)[:rows]:
        print(f"{key[:48]:<50}" + "".join(f"{times.get(key, 0):>17.2f}" for times in (base, *others)))
    print(f"{'all':<50}" + "".join(f"{sum(times.values()):>17.2f}" for times in (base, *others)))


def compare_inference(
    networks: dict[str, ResNet], step: Step, images: Tensor, rounds: int, timer: Timer, *, compiled: bool
) -> None:
    folded = {name: step.placed(fold(network)) for name, network in without_duplicates(networks).items()}
    if compiled:
        for network in folded.values():
            network.compile()

    def infer(network: ResNet) -> None:
        with torch.inference_mode():
            step.logits(network, images)

    calls = {name: partial(infer, network) for name, network in folded.items()}
    times = interleaved(calls, 3 * rounds, timer)
    print_table("inference, BatchNorm folded", times, len(images), base=next(iter(times)))


def without_duplicates(networks: dict[str, ResNet]) -> dict[str, ResNet]:
    """Folded, our SRM is the same network whichever way it was trained."""
    return {name: network for name, network in networks.items() if name != "srm by autograd" or "srm" not in networks}


def compare_onnx(networks: dict[str, ResNet], size: int, batch: int, rounds: int, timer: Timer) -> None:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # the exporter's remarks on what it goes without
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    images = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
    spec = InputSpec(height=size, width=size, channels=3, crop="none", interpolation="bilinear")
    calls: dict[str, Callable[[], Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, network in without_duplicates(networks).items():
            path = Path(folder) / f"{name}.onnx"
            write_graph(PackagedNetwork(fold(network).cpu(), NORMALISATION, 1.0, [0.0] * CLASSES), spec, path)
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            calls[name] = partial(session.run, None, {"image": images})
    times = interleaved(calls, 3 * rounds, timer)
    print_table("inference, ONNX Runtime, CPU", times, batch, base=next(iter(times)))


if __name__ == "__main__":
    typer.run(main)
