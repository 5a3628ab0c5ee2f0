"""What a run trains and validates on: the data set without what can't be read, and the training images."""

from typing import NamedTuple

from models.card import InputSpec
from models.cpu import usable_cpus
from training import distributed
from training.data.pipeline import Images, Normalisation, OnDemand, cached, verify
from training.data.unreadable import Unreadable, settle
from training.datasets import DataSet, Item, read_dataset
from training.errors import TrainingError
from training.evaluation.calibration import target_prior
from training.fitting.epoch_validation import own_part
from training.recipe import Recipe


class Material(NamedTuple):
    """The data of a run, as far as they are read before its first step."""

    data: DataSet
    spec: InputSpec
    """How an image becomes the network's input; the training images are larger where they will be cropped."""
    images: Images
    """The training images, all decoded, on disk if possible, or each on demand."""
    validation: list[Item]
    """This process's part of the validation split, not decoded yet."""
    normalisation: Normalisation
    unreadable: list[Unreadable]
    workers: int


def gather_material(recipe: Recipe) -> Material:
    """Read a recipe's data and decode its training images.

    Raises:
        TrainingError: for data that can't be read or that are too few, or a target prior that does not fit them.
    """
    data = read_dataset(recipe)
    target_prior(recipe.calibration, data.prior("train"), multi_label=data.multi_label)  # a mistake shows now
    spec = InputSpec(
        height=recipe.input.size,
        width=recipe.input.size,
        channels=recipe.input.channels,
        content=recipe.input.content,
        crop=recipe.input.crop,
        interpolation=recipe.input.interpolation,
    )
    data, images, unreadable = read_images(recipe, data, spec)
    validation = own_part(data.splits["val"], distributed.rank(), distributed.world_size())
    if len(images) < recipe.batch_size:
        raise TrainingError(
            f"{len(images)} training images do not fill a batch of {recipe.batch_size}: lower batch_size"
        )
    workers = decoders(recipe)
    return Material(data, spec, images, validation, Normalisation.of(images, workers), unreadable, workers)


def decoders(recipe: Recipe) -> int:
    """Number of processes that decode while the network trains; none if all images are decoded before."""
    if recipe.cache:
        return 0
    return usable_cpus() if recipe.workers is None else recipe.workers


def read_images(recipe: Recipe, data: DataSet, spec: InputSpec) -> tuple[DataSet, Images, list[Unreadable]]:
    """Decode the training images, or leave that to the loader, and settle what can't be read in any split."""
    decoded = recipe.augmentation.decoded_size or recipe.input.size
    train_spec = spec.model_copy(update={"height": decoded, "width": decoded})
    unreadable: list[Unreadable] = []
    if recipe.cache:
        images: Images = cached(data.splits["train"], train_spec, unreadable)
        others = [*data.splits["val"], *data.splits["test"]]
        verify(others, spec, unreadable, keep=True)  # a damaged file shows now, not later
    elif recipe.on_corrupt == "skip":
        verify([item for items in data.splits.values() for item in items], spec, unreadable, keep=False)
    data = settle(data, unreadable, recipe.on_corrupt)
    if not recipe.cache:
        images = OnDemand(data.splits["train"], train_spec)
    return data, images, unreadable


def validation_images(recipe: Recipe, material: Material) -> Images:
    """This process's validation images, all decoded or each on demand."""
    own, spec = material.validation, material.spec
    return cached(own, spec) if recipe.cache else OnDemand(own, spec)
