"""What a run starts from: fresh weights, a public checkpoint, another run, or a package."""

from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from models.checkpoint import read_checkpoint
from models.fold import unfolded_state
from models.initial_weights import load_initial_weights, settle_batch_norm
from models.provenance import InitialWeights
from models.resnet import ResNet
from training.data.pipeline import IMAGE, Images, Normalisation, loader
from training.distributed import rank
from training.errors import TrainingError
from training.files import sha256
from training.packaging.unpack import read_network
from training.recipe import Recipe
from training.run import Run

SETTLING = 256
"""Training images that BatchNorms without statistics are settled on."""


class Source(NamedTuple):
    """Trained weights, and what is known of them."""

    file: Path
    state: dict[str, Tensor]
    unsettled: list[str]
    labels: list[str] | None
    """None if the file does not say."""
    trained_on: str | None
    licence: str | None


def start_from(
    network: ResNet, recipe: Recipe, labels: list[str], images: Images, normalisation: Normalisation
) -> tuple[list[str], InitialWeights | None]:
    """Load the recipe's initial weights, if it names any.

    Returns the names of the values that stay fresh, and what the card says of the weights.

    Raises:
        TrainingError: if they can't be read or don't fit.
    """
    path = recipe.network.initial_weights
    if path is None:
        return list(network.state_dict()), None
    try:
        source = read_source(path)
        loaded = load_initial_weights(
            network,
            source.state,
            start=recipe.network.start,
            classifier=source.labels is None or source.labels == labels,
        )
    except ValueError as error:
        text = str(error)
        raise TrainingError(text if text.startswith(str(path)) else f"{path}: {text}") from None
    if rank() == 0:
        print(f"{source.file}: {loaded}", flush=True)  # in its place among the lines of a log
    unsettled = [*source.unsettled, *loaded.unsettled]
    if unsettled:
        batch = next(iter(loader(images, min(SETTLING, len(images)), shuffle=True)))[IMAGE]
        edge = (batch.shape[-1] - recipe.input.size) // 2  # images to be cropped are decoded larger
        middle = batch[..., edge : edge + recipe.input.size, edge : edge + recipe.input.size]
        settle_batch_norm(network, unsettled, normalisation(middle.float() / 255))
    return loaded.fresh, InitialWeights(
        file=source.file.name,
        sha256=sha256(source.file),
        source=source.trained_on or recipe.network.initial_source,
        licence=source.licence or recipe.network.initial_licence,
        values=len(loaded.loaded),
        start=recipe.network.start,
        changes=loaded.changes,
    )


def read_source(path: Path) -> Source:
    """Read a run folder, a run's checkpoint, a package or a public checkpoint.

    Raises:
        TrainingError: for a run that is not finished, or a package that is not this project's.
        ValueError: for a file that is no checkpoint.
    """
    if path.is_dir():
        run = Run.open(path)
        return read_source(run.checkpoint(run.recipe().checkpoint))
    if path.suffix == ".onnx":
        network, _, card = read_network(path)
        state, unsettled = unfolded_state(network)
        trained_on = f"{card.name} version {card.version}, trained on {card.training_data.name}"
        return Source(path, state, unsettled, card.labels, trained_on, card.training_data.licence)
    state, run = read_checkpoint(path), Run(path.parent)
    if not run.begun():
        return Source(path, state, [], None, None, None)
    facts = run.facts()
    trained_on = f"{run.recipe().name}, trained on {facts.training_data.name}"
    return Source(path, state, [], facts.labels, trained_on, facts.training_data.licence)
