"""Add a style reference to a package that was exported before packages had one.

    python -m training.style.add models/repository/oct/2/model.onnx folder --set data=FOLDER --set input.channels=1

The recipe reads the package's own training and validation images. A run is better exported again: this is for
packages whose run is gone.
"""

from pathlib import Path
from typing import Annotated

import onnxruntime
import torch
import typer

from models.card import Card, InputSpec
from models.package import OUTPUTS, package_path
from models.verification import Parity
from training.data.pipeline import IMAGE, cached
from training.datasets import DataSet, Item, read_dataset
from training.errors import TrainingError
from training.packaging.export import write_package
from training.packaging.graph import PackagedNetwork
from training.packaging.unpack import read_network
from training.recipe import load_recipe
from training.style.reference import block_names, fit_style_shift, measure_styles

SAME = 1e-5
"""Largest difference of an output from the earlier package's."""


def main(
    package: Path,
    recipe: str,
    set_: Annotated[list[str] | None, typer.Option("--set", help="A value of the recipe, such as data=FOLDER.")] = None,
    repository: Annotated[Path, typer.Option(help="Model repository to write into.")] = Path("model-repository"),
    version: Annotated[str, typer.Option(help="A positive whole number.")] = "2",
) -> None:
    """Write the package with a style reference, as another version."""
    print(add_style(package, read_dataset(load_recipe(recipe, set_ or ())), repository, version))


def add_style(package: Path, data: DataSet, repository: Path, version: str) -> Path:
    """Write a package's network with a style reference fitted on these data, as another version, and return its path.

    The network is read from the graph. What the earlier package answers stays: its three outputs may differ by 1e-5.

    Raises:
        TrainingError: if the package's graph is not one that this project exported, or an output would change.
    """
    session = onnxruntime.InferenceSession(package, providers=["CPUExecutionProvider"])
    network, normalisation, card = read_network(package)
    shift = fit_style_shift(
        list(block_names(network)),
        measure_styles(network, data.splits["train"], normalisation, card.input),
        measure_styles(network, data.splits["val"], normalisation, card.input),
    )
    packaged = PackagedNetwork(
        network,
        normalisation,
        card.calibration.temperature,
        card.calibration.log_prior_shift,
        multi_label=card.task == "multi-label",
        style_shift=shift.module,
    )

    def described(draft: Path, parity: Parity) -> Card:
        refuse_changes(session, draft, data.splits["val"], card.input)
        changes = {"schema_version": 3, "version": version, "style": shift.reference, "parity": parity}
        return Card.model_validate(card.model_dump() | changes)

    target = package_path(repository, card.name, version)
    write_package(target, packaged, packaged, card.input, described)
    return target


def refuse_changes(before: onnxruntime.InferenceSession, after: Path, items: list[Item], spec: InputSpec) -> None:
    """Compare both graphs' answers to the first images of the validation split."""
    first = cached(items[:16], spec)
    batch = torch.stack([first[index][IMAGE] for index in range(len(first))])
    images = batch.permute(0, 2, 3, 1).numpy()
    now = onnxruntime.InferenceSession(after, providers=["CPUExecutionProvider"])
    names = list(OUTPUTS)
    for name, old, new in zip(
        names, before.run(names, {"image": images}), now.run(names, {"image": images}), strict=True
    ):
        if (difference := float(abs(old - new).max())) > SAME:
            raise TrainingError(f"{name} would change by {difference:.2g}, more than {SAME:g}: no package was written")


if __name__ == "__main__":
    typer.run(main)
