"""Every shipped recipe runs, for a few steps of a tiny network on a tiny tree in its data set's released layout."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from tests.training import released_trees as trees
from tests.training.tiny_data import medmnist_arrays, write_medmnist, write_tree
from training.fitting.engine import fit
from training.recipe import load_recipe, shipped_recipes

CHANNELS = {"retinamnist": 3, "octmnist": 1}
CLASSES = {"retinamnist": 5, "octmnist": 4}
TREES: dict[str, Callable[[Path], Path]] = {
    "lag": trees.lag,
    "odir": trees.odir,
    "casia2": trees.casia2,
    "acrima": trees.acrima,
    "cifar10": trees.cifar10,
    "pretrain": trees.cifar10_images,
    "cifar100": trees.cifar100,
    "dtd": trees.dtd,
    "office-home": trees.office_home,
    "imagenet": trees.imagenet,
    "stylized-imagenet": trees.imagenet,
}
# What makes a run tiny; all else is as shipped.
TINY = ["network.depth=18", "network.stem=small", "network.width=0.05", "batch_size=8", "epochs=1", "device=cpu"]


def data_of(name: str, folder: Path) -> Path:
    if name == "dr":
        write_tree(folder / "photographs", dict.fromkeys("01234", 16), size=(40, 40))
        return folder / "photographs"
    if name == "folder":
        write_tree(folder / "scans", {"ill": 20, "healthy": 20})
        return folder / "scans"
    if name in CHANNELS:
        per_class = [4] * CLASSES[name]
        arrays = medmnist_arrays(dict.fromkeys(("train", "val", "test"), per_class), channels=CHANNELS[name])
        return write_medmnist(folder / "tiny.npz", arrays)
    return TREES[name](folder / name)


def tiny(name: str) -> list[str]:
    content = yaml.safe_load(shipped_recipes()[name].read_text())
    changes = [*TINY, f"input.size={28 if name in CHANNELS else 16}", "workers=0"]
    if content.get("augmentation", {}).get("decoded_size"):
        changes.append("augmentation.decoded_size=20")
    if content.get("schedule", {}).get("name") == "step":
        changes.append("schedule.milestones=[1, 2]")
    if content["dataset"] in TREES:
        changes += ["folder.validation=0.25", "folder.test=0.25"]
    return changes


@pytest.mark.parametrize("name", shipped_recipes())
def test_runs(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name, [f"data={data_of(name, tmp_path)}", *tiny(name)])
    run = fit(recipe, tmp_path / "run", progress=False)
    weights = torch.load(run.checkpoint(recipe.checkpoint), weights_only=True)["network"]
    assert torch.isfinite(weights["fc.weight"]).all()
    assert weights["layer1.0.recalibration.cfc"].abs().max() > 0  # zero before training


@pytest.mark.parametrize("channels", [1, 3])
def test_pretraining_and_then_a_retinal_recipe(channels: int, tmp_path: Path) -> None:
    """The two commands of the first recipe's comment: what was learned goes on, the classifier and no other is new."""
    pretrain = [f"data={data_of('pretrain', tmp_path)}", *tiny("pretrain"), f"input.channels={channels}"]
    first = fit(load_recipe("pretrain", pretrain), tmp_path / "first", progress=False)
    start = [f"network.initial_weights={first.folder}", "optimiser.learning_rate=1e-12"]
    recipe = load_recipe("octmnist", [f"data={data_of('octmnist', tmp_path)}", *tiny("octmnist"), *start])
    second = fit(recipe, tmp_path / "second", progress=False)
    learned = first.network("last").state_dict()
    weights = torch.load(second.checkpoint("last"), weights_only=True)["raw_network"]
    if channels == 3:
        learned["conv1.weight"] = learned["conv1.weight"].sum(dim=1, keepdim=True)
    gates = [name for name in learned if name.endswith(".recalibration.cfc")]
    assert gates
    for name in (*gates, "conv1.weight", "layer4.1.conv2.weight"):
        torch.testing.assert_close(weights[name], learned[name])
    assert weights["fc.weight"].shape != learned["fc.weight"].shape
    initial = second.facts().initial_weights
    assert initial is not None
    assert initial.source == "pretrain, trained on pretrain (images, not the release of CIFAR-10)"


@pytest.mark.parametrize("name", shipped_recipes())
def test_has_a_launch_line_on_top_and_a_comment_on_its_choices(name: str) -> None:
    lines = shipped_recipes()[name].read_text().splitlines()
    top = lines[: next(index for index, line in enumerate(lines) if not line.startswith("#"))]
    assert any(f"python -m training fit {name}" in line for line in top)
    commented = [line for line in lines[len(top) :] if "#" in line]
    assert len(commented) >= 5
