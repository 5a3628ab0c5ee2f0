"""Two real processes that ``torchrun`` starts, against one process with the same global batch."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from models.architecture import Architecture
from models.recalibration import StyleRecalibration
from models.resnet import ResNet
from tests.training.run_folder import curves
from tests.training.tiny_data import medmnist_arrays, recipe_content, tiny_recipe, write_medmnist
from training.distributed import SynchronisedBatchNorm, own_batch_size, own_seed, synchronise_batch_norm
from training.errors import TrainingError
from training.fitting.engine import fit
from training.run import Run

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import sys
from pathlib import Path
from training.fitting.engine import fit
from training.recipe import load_recipe
fit(load_recipe(sys.argv[1]), Path(sys.argv[2]), progress=False)
"""
SCRIPT_OF_MISTAKES = """
import os
import sys
from pathlib import Path
import torch
from training.distributed import process_group
from training.errors import TrainingError
from training.fitting.engine import fit
from training.recipe import load_recipe
with process_group(torch.device("cpu")):
    for folder, resume in ((sys.argv[2] + os.environ["RANK"], True), (sys.argv[2] + "0", False)):
        try:
            fit(load_recipe(sys.argv[1]), Path(folder), resume=resume, progress=False)
        except TrainingError as error:
            sys.stdout.write(f"{os.environ['RANK']}: {error}\\n")  # whole: print writes the end of the line apart
"""
FEW = {"train": (12, 8, 6, 4, 4), "val": (3, 2, 2, 2, 2), "test": (1, 1, 1, 1, 1)}


def comparable(**changes: Any) -> dict[str, Any]:
    """Without what each process draws at random for itself."""
    return {
        "epochs": 2,
        "batch_size": 8,
        "network": {"depth": 20, "width": 0.25},
        "optimiser": {"name": "sgd", "learning_rate": 0.01, "momentum": 0},  # rounding is not to grow from step to step
        "augmentation": {"flip_horizontal": False, "rotation": 0, "scale": 0, "translation": 0},
        "sync_batch_norm": True,
    } | changes


def in_two_processes(content: str, folder: Path, *arguments: Path) -> list[str]:
    """Run a script under ``torchrun`` and return its lines, in order."""
    script = folder / "script.py"
    script.write_text(content)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
            *("--", str(script), *map(str, arguments)),
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return sorted(done.stdout.splitlines())


def test_a_folder_that_one_process_does_not_see_and_a_run_that_is_there_are_sentences_in_both(tmp_path: Path) -> None:
    data = write_medmnist(tmp_path / "few.npz", medmnist_arrays(FEW))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(recipe_content(data, **comparable(epochs=1))))
    run = fit(tiny_recipe(data, **comparable(epochs=1)), tmp_path / "run0", progress=False)
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    said = in_two_processes(SCRIPT_OF_MISTAKES, tmp_path, recipe, tmp_path / "run")
    for number in (0, 1):
        seen, there = [line for line in said if line.startswith(f"{number}: ")]
        if "holds a run" in seen:
            seen, there = there, seen
        assert f"run{number} is not shared: process(es) 1 of 0 to 1 see no run there; name a folder with --run" in seen
        assert "run0 holds a run already: name another with --run" in there
    assert not (tmp_path / "run1").exists()
    assert {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()} == before


def test_two_processes_train_as_one_with_the_same_global_batch(tmp_path: Path) -> None:
    data = write_medmnist(tmp_path / "few.npz", medmnist_arrays(FEW))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(recipe_content(data, **comparable())))
    two = Run(tmp_path / "two")
    in_two_processes(SCRIPT, tmp_path, recipe, two.folder)
    one = fit(tiny_recipe(data, **comparable()), tmp_path / "one", progress=False)

    ours, theirs = curves(two), curves(one)
    assert ours.keys() == theirs.keys()
    for name, curve in theirs.items():
        assert [step for step, _ in ours[name]] == [step for step, _ in curve]
    loss = [value for _, value in theirs["train/loss"]]
    assert [value for _, value in ours["train/loss"]] == pytest.approx(loss, rel=1e-4)
    assert max(loss) > 1.01 * min(loss)
    for name in ("macro_auc", "nll"):  # over 11 images, 6 in one process and 5 in the other
        assert [v for _, v in ours[name]] == pytest.approx([v for _, v in theirs[name]], rel=1e-3)
    before = torch.load(one.checkpoint("last"), weights_only=True)["network"]
    after = torch.load(two.checkpoint("last"), weights_only=True)["network"]
    assert after.keys() == before.keys()
    for name in ("conv1.weight", "layer1.0.recalibration.bn.running_mean", "layer3.2.recalibration.cfc"):
        torch.testing.assert_close(after[name], before[name], rtol=1e-3, atol=1e-5)
    assert two.network("last")(torch.zeros(2, 3, 28, 28)).shape == (2, 5)


class TestShare:
    def test_is_equal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("training.distributed.world_size", lambda: 4)
        assert own_batch_size(32) == 8
        for size in (30, 4):
            with pytest.raises(TrainingError, match=rf"batch_size of {size} .* 4 processes: set a multiple of 4"):
                own_batch_size(size)

    def test_each_process_draws_its_own_numbers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert own_seed(7) == 7
        seeds = set()
        for rank in range(4):
            monkeypatch.setenv("RANK", str(rank))
            seeds |= {own_seed(7), own_seed(8)}
        assert len(seeds) == 8


class TestSynchronisedBatchNorm:
    """In one process that plays two: the sums are those of the other half as well."""

    @pytest.mark.parametrize("shape", [(12, 5), (12, 5, 4, 3)])
    def test_equals_torchs_over_the_whole_batch(self, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
        torch.manual_seed(0)
        x = torch.randn(shape) * 3 + 2
        reference = nn.BatchNorm1d(5) if len(shape) == 2 else nn.BatchNorm2d(5)
        reference.weight.data.uniform_(0.5, 2)
        reference.bias.data.normal_()
        ours = SynchronisedBatchNorm(5)
        ours.load_state_dict(reference.state_dict())
        whole, half = x.clone().requires_grad_(), x[:6].clone().requires_grad_()
        expected = reference(whole)
        other = x[6:]

        # What the process with the other half adds: first its sum, then its squares about the common mean.
        mean = x.mean([0, *range(2, x.ndim)])
        shaped = mean.view([1, -1, *[1] * (x.ndim - 2)])
        dims = [0, *range(2, x.ndim)]
        added = iter([other.sum(dims), (other - shaped).square().sum(dims)])
        monkeypatch.setattr("training.distributed.world_size", lambda: 2)
        monkeypatch.setattr("training.distributed.dist.all_reduce", lambda value: value.add_(next(added)))
        found = ours(half)
        torch.testing.assert_close(found, expected[:6], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(ours.running_mean, reference.running_mean)
        torch.testing.assert_close(ours.running_var, reference.running_var)

    def test_replaces_all_of_a_network_srms_included(self) -> None:
        network = ResNet(Architecture(depth=20, recalibration="srm", stem="small", width=0.25, image_size=16))
        before = network.state_dict()
        total = sum(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) for module in network.modules())
        synchronise_batch_norm(network, torch.device("cpu"))
        assert sum(isinstance(module, SynchronisedBatchNorm) for module in network.modules()) == total > 20
        gates = [module for module in network.modules() if isinstance(module, StyleRecalibration)]
        assert all(isinstance(gate.bn, SynchronisedBatchNorm) for gate in gates)
        assert network.state_dict().keys() == before.keys()
        x = torch.randn(3, 3, 16, 16)
        plain = ResNet(network.architecture).eval()
        plain.load_state_dict(before)
        torch.testing.assert_close(network.eval()(x), plain(x))
