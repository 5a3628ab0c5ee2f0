"""Whether the data path keeps a training step busy: images a second of reading alone, the step alone, and both.

    python -m tests.benchmarks.data_path
    python -m tests.benchmarks.data_path --device cuda --precision bfloat16 --channels-last --batch 128

The images are JPEG files, read from the cache on disk or decoded on demand by a process for each CPU. The step is a
recipe's: augmentation, SRM-ResNet-18 (stem `small` at 28 px), loss, backward pass, optimiser. The three are measured in
turn, round after round, and compared within each round. On a GPU, a step that waits for it is an error.

Exits with 1 if, from the cache, both together are below .95 of the step alone, or reading alone is below 10 times what
the step eats on one thread.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import numpy as np
import torch
import typer
from PIL import Image, ImageFilter

from models.architecture import Architecture
from models.card import InputSpec
from models.cpu import usable_cpus
from models.resnet import ResNet
from tests.benchmarks._measure import describe_machine
from training.data.augmentation import BatchAugmentation
from training.data.batches import ShuffledBatches, training_loader
from training.data.cache.folder import VARIABLE
from training.data.cache.images import CachedImages
from training.data.feed import Batch, Feed
from training.data.pipeline import Images, Normalisation, OnDemand, PrepareTrainingBatch, cached
from training.datasets import Item
from training.device import choose_device
from training.fitting.forward import TrainingForward, memory_format
from training.fitting.progress.losses import Losses
from training.fitting.step import TrainingStep
from training.recipe import AugmentationSpec

CLASSES = 4
BATCHES = {28: 64, 224: 16, 512: 4}
"""Images in a batch on a CPU, by size in pixels."""
TOGETHER, READING = 0.95, 10.0


class Trainer:
    """A step of SRM-ResNet-18 with all that `fit` does in it."""

    def __init__(self, size: int, device: torch.device, precision: str, *, channels_last: bool) -> None:
        architecture = Architecture(
            depth=18, stem="small" if size < 64 else "imagenet", num_classes=CLASSES, image_size=size
        )
        layout = memory_format(channels_last, device)
        network: Any = ResNet(architecture).to(device)
        network = network.to(memory_format=layout)
        augmentation = BatchAugmentation(AugmentationSpec(noise=0.05), size)
        augmentation.set_random_state(0)
        self.step = TrainingStep()
        self.losses = Losses(device)
        self.device = device
        self.trainer = SimpleNamespace(
            network=network,
            optimizer=torch.optim.AdamW(network.parameters(), lr=1e-3),
            prepare_batch=PrepareTrainingBatch(Normalisation([0.5] * 3, [0.25] * 3), augmentation, None, CLASSES),
            inferer=TrainingForward(device, precision, layout),
            loss_function=torch.nn.CrossEntropyLoss(),
            state=SimpleNamespace(device=device, iteration=0, epoch=1, output=None),
        )

    def __call__(self, batch: Batch) -> None:
        self.trainer.state.iteration += 1
        self.trainer.state.output = self.step(self.trainer, batch)
        self.losses.add(self.trainer)

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


@contextmanager
def waiting_is_an_error(device: torch.device) -> Iterator[None]:
    """On a GPU, let torch raise where the host would wait for it."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def write_files(folder: Path, size: int, count: int) -> list[Item]:
    """JPEG files of twice the size, as photographs are larger than what a network takes."""
    random = np.random.default_rng(0)
    folder.mkdir()
    items = []
    for index in range(count):
        noise = Image.fromarray(random.integers(0, 256, (size // 2, size // 2, 3), dtype=np.uint8))
        path = folder / f"{index}.jpg"
        noise.resize((2 * size, 2 * size)).filter(ImageFilter.GaussianBlur(1)).save(path, quality=90)
        items.append(Item(path, index % CLASSES, path.name, path.name))
    return items


def source_of(images: Images, batch: int, device: torch.device, workers: int) -> Iterator[Batch]:
    """Batches without end, as `fit` reads them."""
    order = ShuffledBatches(len(images), batch, seed=0)
    feed = Feed(training_loader(images, order, workers), device)
    for epoch in cycle(range(2**31)):
        order.epoch = epoch
        yield from feed


def speed(act: Callable[[], None], images: int, trainer: Trainer) -> float:
    trainer.wait()
    start = time.perf_counter()
    act()
    trainer.wait()
    return images / (time.perf_counter() - start)


def measure(
    images: Images, trainer: Trainer, batch: int, steps: int, rounds: int, workers: int
) -> dict[str, list[float]]:
    """Images a second of each round, of ``steps`` batches."""
    source = source_of(images, batch, trainer.device, workers)
    fixed = next(source)
    trainer(fixed)  # what is chosen and allocated in the first step

    def read() -> None:
        for _ in islice(source, steps):
            pass

    def run() -> None:
        with waiting_is_an_error(trainer.device):
            for _ in range(steps):
                trainer(fixed)

    def both() -> None:
        with waiting_is_an_error(trainer.device):
            for each in islice(source, steps):
                trainer(each)

    def run_on_one_thread() -> None:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        trainer(fixed)
        torch.set_num_threads(threads)

    acts = {"reading": (read, steps), "step": (run, steps), "both": (both, steps)}
    if trainer.device.type == "cpu":
        acts["step on one thread"] = (run_on_one_thread, 1)
    found: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(rounds):
        for name, (act, count) in acts.items():
            # A batch is always under way, so the first of a round would be free: it is taken before the clock starts.
            next(source)
            found[name].append(speed(act, count * batch, trainer))
    return found


def report(title: str, found: dict[str, list[float]], *, judged: bool) -> bool:
    """Print a line, and return whether the bars hold."""
    median = {name: statistics.median(values) for name, values in found.items()}
    ratios = [both / step for both, step in zip(found["both"], found["step"], strict=True)]
    together = statistics.median(ratios)
    line = f"{title:<24}{median['reading']:>13.0f}{median['step']:>13.1f}{median['both']:>13.1f}{together:>13.3f}"
    holds = together >= TOGETHER
    if "step on one thread" in median:
        times = median["reading"] / median["step on one thread"]
        line += f"{median['step on one thread']:>13.1f}{times:>13.0f}"
        holds = holds and times >= READING
    print(line + ("" if holds or not judged else "   below the bar"), flush=True)
    return holds or not judged


def main(
    size: Annotated[list[int] | None, typer.Option(help="28, 224 and 512 without it; repeatable")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    precision: str = "float32",
    channels_last: Annotated[bool, typer.Option("--channels-last")] = False,
    batch: Annotated[int, typer.Option(help="Images in a batch; 0: 64, 16 and 4 by size")] = 0,
    steps: Annotated[int, typer.Option(help="Batches a round")] = 4,
    rounds: int = 7,
) -> None:
    place = choose_device(device)
    print(describe_machine(place))
    columns = ("reading", "step", "both", "both / step", "one thread", "reading /")
    print(f"\n{'images/s':<24}" + "".join(f"{name:>13}" for name in columns))
    holds = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ[VARIABLE] = str(Path(folder) / "cache")
        for each in size or list(BATCHES):
            images = batch or BATCHES.get(each, 4)
            items = write_files(Path(folder) / str(each), each, images * steps * 2)
            spec = InputSpec(height=each, width=each, channels=3, crop="centre-square", interpolation="bicubic")
            for kind, source in sources(items, spec, place):
                trainer = Trainer(each, place, precision, channels_last=channels_last)
                found = measure(source, trainer, images, steps, rounds, usable_cpus() if kind == "on demand" else 0)
                holds.append(report(f"{each} px, {kind}", found, judged=kind == "cached"))
    sys.exit(not all(holds))


def sources(items: Sequence[Item], spec: InputSpec, device: torch.device) -> Iterator[tuple[str, Images]]:
    from_disk = cached(items, spec)
    assert isinstance(from_disk, CachedImages)
    from_disk.pinned = device.type == "cuda"
    yield "cached", from_disk
    yield "on demand", OnDemand(items, spec)


if __name__ == "__main__":
    typer.run(main)
