"""What a run starts from: a run folder, its checkpoint, a package; classifiers of other labels; fresh gates."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.resnet import ResNet
from tests.training.tiny_data import medmnist_arrays, tiny_recipe, write_medmnist
from training.errors import TrainingError
from training.fitting.assembly import create_network
from training.fitting.engine import fit
from training.fitting.material import Material, gather_material
from training.fitting.start import start_from
from training.run import Run


def started(recipe: Any, material: Material) -> tuple[ResNet, list[str]]:
    torch.manual_seed(9)
    network = create_network(recipe, len(material.data.labels))
    fresh, _ = start_from(network, recipe, material.data.labels, material.images, material.normalisation)
    return network.eval(), fresh


def logits(network: ResNet) -> Tensor:
    with torch.inference_mode():
        return network(torch.randn(6, 3, 28, 28, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("kind", ["run folder", "checkpoint", "package"])
def test_a_run_goes_on_from_another(kind: str, finished: Run, package: Path) -> None:
    path = {"run folder": finished.folder, "checkpoint": finished.checkpoint("best"), "package": package}[kind]
    recipe = finished.recipe()
    recipe = recipe.model_copy(update={"network": recipe.network.model_copy(update={"initial_weights": path})})
    network, fresh = started(recipe, gather_material(recipe))
    assert not [name for name in fresh if not name.endswith("num_batches_tracked")]
    torch.testing.assert_close(logits(network), logits(finished.network(finished.recipe().checkpoint)))


def test_other_labels_get_a_fresh_classifier(finished: Run, tmp_path: Path, few_npz: Path) -> None:
    """The same number of classes, but other ones."""
    facts = finished.facts()
    copied = Run(shutil.copytree(finished.folder, tmp_path / "run"))
    copied.facts_path.write_text(facts.model_copy(update={"labels": list("vwxyz")}).model_dump_json())
    recipe = tiny_recipe(few_npz, network={"initial_weights": str(copied.folder)}, batch_size=10)
    network, fresh = started(recipe, gather_material(recipe))
    assert {name for name in fresh if name.startswith("fc.")} == {"fc.weight", "fc.bias"}
    assert torch.equal(network.conv1.weight, finished.network(finished.recipe().checkpoint).conv1.weight)


def test_what_does_not_fit_names_the_file_and_the_setting(finished: Run, few_npz: Path) -> None:
    recipe = tiny_recipe(few_npz, network={"initial_weights": str(finished.folder), "width": 0.2}, batch_size=10)
    with pytest.raises(TrainingError, match=rf"^{finished.folder}: the checkpoint holds .* set network\.width="):
        started(recipe, gather_material(recipe))


def test_a_folder_that_is_no_run(tmp_path: Path, few_npz: Path) -> None:
    recipe = tiny_recipe(few_npz, network={"initial_weights": str(tmp_path)}, batch_size=10)
    with pytest.raises(TrainingError, match="is not a run folder"):
        started(recipe, gather_material(recipe))


def test_gates_learn_inside_a_frozen_stage(tmp_path: Path) -> None:
    """As the documented example has it: plain weights, frozen up to layer1. The gates must not stay at 0.5."""
    data = write_medmnist(tmp_path / "data.npz", medmnist_arrays())
    plain = fit(tiny_recipe(data, network={"recalibration": "none"}, epochs=1), tmp_path / "plain", progress=False)
    recipe = tiny_recipe(
        data,
        network={"initial_weights": str(plain.folder)},
        fine_tuning={"freeze": ["conv1", "bn1", "layer1"]},
        epochs=1,
    )
    tuned = fit(recipe, tmp_path / "tuned", progress=False)
    initial = tuned.facts().initial_weights
    assert initial is not None
    assert initial.sha256 == hashlib.sha256(plain.checkpoint("best").read_bytes()).hexdigest()
    assert initial.source == "tiny, trained on data (not RetinaMNIST)"
    assert initial.licence == "not stated"
    before, after = (run.network("last").state_dict() for run in (plain, tuned))
    for name, value in after.items():
        if name.startswith(("conv1", "bn1", "layer1")) and ".recalibration." not in name:
            doubled = 2 if name.endswith(("bn2.weight", "bn2.bias")) else 1
            assert torch.equal(value, doubled * before[name]), name
    assert after["layer1.0.recalibration.cfc"].abs().max() > 0
    assert after["layer1.0.recalibration.bn.running_var"].min() < 0.999
