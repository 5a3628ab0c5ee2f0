"""Hours that the recipes of OCTMNIST, LAG and ODIR take on the full data sets, by throughput measured on this machine.

    python -m tests.benchmarks.training_hours --threads 1
    python -m tests.benchmarks.training_hours --dataset LAG --size 512 --device cuda
    python -m tests.benchmarks.training_hours --images-per-second 5000 --validation-images-per-second 12000

A recipe's network is timed on random images of its size, with its augmentation, loss and batch size; the data sets
themselves are not needed. A throughput measured elsewhere, such as on a GPU, can be given instead of measured.
"""

import itertools
import statistics
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
import typer

from models.card import InputSpec
from tests.benchmarks._measure import Timer, create_timer, describe_machine
from training.data.augmentation import BatchAugmentation
from training.data.mixup import create_blend
from training.data.pipeline import IMAGE, Normalisation, PrepareTrainingBatch, cached, loader
from training.datasets import Item
from training.device import choose_device
from training.fitting.assembly import create_network
from training.fitting.optimisation import create_loss, create_optimiser
from training.recipe import Recipe, load_recipe


class Extent(NamedTuple):
    """A data set's recipe, the images that it goes through in an epoch, and how many classes they have."""

    recipe: str
    train: int
    validation: int
    classes: int
    sizes: tuple[int, ...]


DATASETS = {
    "OCTMNIST": Extent("octmnist", 97_477, 10_832, 4, (28, 64, 128, 224)),  # as published
    "LAG": Extent("lag", 8_232, 1_176, 2, (224,)),  # 70 and 10 % of 11,760
    "ODIR": Extent(
        "odir", 4_900, 1_050, 8, (224,)
    ),  # 70 and 15 % of 7,000 images of 3,500 patients, whose labels are published
}


def main(
    recipe: Annotated[str | None, typer.Option(help="Name or file; default: the data set's own")] = None,
    dataset: Annotated[list[str] | None, typer.Option(help=f"Any of {', '.join(DATASETS)}; repeatable")] = None,
    size: Annotated[list[int] | None, typer.Option(help="Pixels; default: the data set's sizes")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="key=value of the recipe; repeatable")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads; 0 leaves torch's choice")] = 0,
    rounds: Annotated[int, typer.Option(help="Steps to take the median of")] = 7,
    cpu_time: Annotated[bool, typer.Option("--cpu-time", help="CPU time rather than wall time")] = False,
    images_per_second: Annotated[float | None, typer.Option(help="Training; measured elsewhere")] = None,
    validation_images_per_second: Annotated[float | None, typer.Option(help="Measured elsewhere")] = None,
) -> None:
    """Print images a second and hours: epochs x (training images + validation images)."""
    place = choose_device(device)
    if threads:
        torch.set_num_threads(threads)
    timer = create_timer(place, cpu_time=cpu_time)
    print("throughput as given" if images_per_second else describe_machine(place))
    print(f"{'data':<10}{'px':>5}  {'network':<34}{'epochs':>7}{'train img/s':>13}{'val img/s':>11}{'hours':>9}")
    for name in dataset or DATASETS:
        extent = DATASETS[name]
        for pixels in size or extent.sizes:
            stem = "small" if pixels < 64 else "imagenet"
            chosen = load_recipe(
                recipe or extent.recipe, [f"input.size={pixels}", f"network.stem={stem}", *(set_ or [])]
            )
            if images_per_second:
                speeds = images_per_second, validation_images_per_second or 3 * images_per_second
            else:
                speeds = measure(chosen, extent.classes, place, timer, rounds)
            seconds = chosen.epochs * (extent.train / speeds[0] + extent.validation / speeds[1])
            network = chosen.network
            words = f"{network.recalibration}-ResNet-{network.depth}, {network.stem}, width {network.width:g}"
            print(
                f"{name:<10}{pixels:>5}  {words:<34}{chosen.epochs:>7}{speeds[0]:>13.1f}{speeds[1]:>11.1f}"
                f"{seconds / 3600:>9.1f}"
            )


def measure(recipe: Recipe, classes: int, device: torch.device, timer: Timer, rounds: int) -> tuple[float, float]:
    """Images a second of a recipe's training (loading, augmentation, step) and of its validation."""
    size, channels, batch = recipe.input.size, recipe.input.channels, recipe.batch_size
    pixels = np.random.default_rng(0).integers(0, 256, (4 * batch, size, size, channels), dtype=np.uint8)
    multi_label = recipe.task == "multi-label"
    labels = [index % classes for index in range(len(pixels))]
    items = [
        Item(
            image,
            tuple(int(label == each) for each in range(classes)) if multi_label else label,
            str(index),
            str(index),
        )
        for index, (image, label) in enumerate(zip(pixels, labels, strict=True))
    ]
    spec = InputSpec(height=size, width=size, channels=channels, crop="none", interpolation="bilinear")
    batches = itertools.cycle(loader(cached(items, spec), batch))
    normalisation = Normalisation([0.5] * channels, [0.25] * channels)
    augmentation = BatchAugmentation(recipe.augmentation, size)
    prepare = PrepareTrainingBatch(normalisation, augmentation, create_blend(recipe.loss), classes)
    network = create_network(recipe, classes).to(device)
    optimiser = create_optimiser(network, recipe.optimiser)
    loss = create_loss(recipe.loss, torch.full((classes,), 1 / classes), multi_label=multi_label).to(device)

    def train() -> None:
        images, targets = prepare(next(batches), device)
        optimiser.zero_grad(set_to_none=True)
        loss(network(images), targets).backward()
        optimiser.step()

    def validate() -> None:
        with torch.inference_mode():
            network(normalisation(next(batches)[IMAGE].to(device).float() / 255))

    network.train()
    training = batch / median_time(train, timer, rounds)
    network.eval()
    return training, batch / median_time(validate, timer, rounds)


def median_time(call: Callable[[], Any], timer: Timer, rounds: int) -> float:
    for _ in range(2):
        timer(call)
    return statistics.median(timer(call) for _ in range(rounds))


if __name__ == "__main__":
    typer.run(main)
