"""Fitting: one step against a few lines of torch, and what each choice of the recipe changes."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models.architecture import Architecture
from models.resnet import ResNet
from tests.training.fitting.quick import AUGMENTATION_OFF, FEW, quick, state, validation_auc
from tests.training.run_folder import curves
from training.fitting import engine
from training.recipe import load_recipe
from training.run import Run


class TestMovingAverage:
    def test_is_what_is_kept(self, few_npz: Path, tmp_path: Path) -> None:
        run = quick(few_npz, tmp_path / "run", ema_decay=0.9)
        average, raw = state(run), state(run, part="raw_network")
        assert not torch.equal(average["fc.weight"], raw["fc.weight"])
        assert torch.equal(run.network("last").state_dict()["fc.weight"], average["fc.weight"])
        assert validation_auc(run, "best", few_npz) == pytest.approx(curves(run)["macro_auc"][0][1], abs=2e-3)

    def test_is_off_by_default(self, few_npz: Path, tmp_path: Path) -> None:
        run = quick(few_npz, tmp_path / "run")
        assert torch.equal(state(run)["fc.weight"], state(run, part="raw_network")["fc.weight"])


class TestOneStep:
    """One step of plain SGD on all images at once: the whole engine against a few lines of torch."""

    def fitted(
        self, data: Path, start: Path, folder: Path, learning_rate: float = 0.1, batch_size: int = 20, **changes: Any
    ) -> Run:
        optimiser = {"name": "sgd", "momentum": 0, "weight_decay": 0, "learning_rate": learning_rate}
        return quick(
            data,
            folder,
            batch_size=batch_size,
            network={"initial_weights": str(start)},
            schedule={"name": "constant", "warmup": 0},
            augmentation=AUGMENTATION_OFF,
            optimiser=optimiser | changes.pop("optimiser", {}),
            **changes,
        )

    @pytest.mark.parametrize("loss", ["plain", "balanced", "adjusted", "smooth", "ordinal"])
    def test_equals_torchs(self, few_npz: Path, start: Path, tmp_path: Path, loss: str) -> None:
        specs: dict[str, dict[str, Any]] = {
            "plain": {},
            "balanced": {"class_weights": "balanced"},
            "adjusted": {"logit_adjustment": 1.5},
            "smooth": {"label_smoothing": 0.2},
            "ordinal": {"ordinal_sharpness": 0.7},
        }
        run = self.fitted(few_npz, start, tmp_path / "run", loss=specs[loss])

        arrays, counts = np.load(few_npz), torch.tensor(FEW["train"])
        images = arrays["train_images"] / 255
        images = (images - images.mean(axis=(0, 1, 2))) / images.std(axis=(0, 1, 2))
        labels = torch.from_numpy(arrays["train_labels"][:, 0]).long()
        network = ResNet(Architecture(depth=18, stem="small", width=0.1, num_classes=5, image_size=28)).train()
        network.load_state_dict(torch.load(start, weights_only=True))
        # Contiguous: torch 2.13's backward pass of channels-last 1x1 convolutions with stride 2 corrupts memory.
        logits = network(torch.from_numpy(images).permute(0, 3, 1, 2).float().contiguous())
        grades = torch.arange(5)
        losses = {
            "plain": lambda: F.cross_entropy(logits, labels),
            "balanced": lambda: F.cross_entropy(logits, labels, weight=20 / (5 * counts)),
            "adjusted": lambda: F.cross_entropy(logits + 1.5 * torch.log(counts / 20), labels),
            "smooth": lambda: F.cross_entropy(logits, labels, label_smoothing=0.2),
            "ordinal": lambda: F.cross_entropy(logits, torch.softmax(-0.7 * (labels[:, None] - grades).abs(), dim=1)),
        }
        value = losses[loss]()
        value.backward()
        [(step, loss_value)] = curves(run)["train/loss"]
        assert step == 1
        assert loss_value == pytest.approx(float(value.detach()), rel=1e-4)
        before, after = torch.load(start, weights_only=True), state(run)
        gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
        ours = torch.cat([(after[name] - before[name]).flatten() for name in gradients])
        theirs = torch.cat([-0.1 * gradient.flatten() for gradient in gradients.values() if gradient is not None])
        assert float((ours - theirs).norm() / theirs.norm()) < 0.01
        torch.testing.assert_close(after["bn1.running_mean"], network.bn1.running_mean, atol=1e-5, rtol=1e-4)

    def moved(self, run: Run, start: Path) -> float:
        """Length of the way from the initial weights, all parameters together."""
        before, after = torch.load(start, weights_only=True), state(run)
        names = [name for name, _ in run.network("last").named_parameters()]
        return float(torch.cat([(after[name] - before[name]).flatten() for name in names]).double().norm())

    def test_starts_from_the_initial_weights(self, few_npz: Path, start: Path, tmp_path: Path) -> None:
        run = self.fitted(few_npz, start, tmp_path / "run", learning_rate=1e-9)
        assert self.moved(run, start) < 1e-6

    def test_is_as_long_as_the_clipped_gradient(self, few_npz: Path, start: Path, tmp_path: Path) -> None:
        free = self.fitted(few_npz, start, tmp_path / "free")
        clipped = self.fitted(few_npz, start, tmp_path / "clipped", optimiser={"clip_norm": 0.05})
        assert self.moved(free, start) > 0.1 * 0.1
        assert self.moved(clipped, start) == pytest.approx(0.1 * 0.05, rel=1e-3)

    def test_is_clipped_each_time(self, few_npz: Path, start: Path, tmp_path: Path) -> None:
        run = self.fitted(few_npz, start, tmp_path / "run", batch_size=10, epochs=3, optimiser={"clip_norm": 0.05})
        assert len(curves(run)["train/loss"]) == 6
        assert self.moved(run, start) < 1.001 * 6 * 0.1 * 0.05


class TestChoices:
    def first_loss(self, data: Path, start: Path, folder: Path, **changes: Any) -> float:
        run = quick(data, folder, network={"initial_weights": str(start)}, augmentation=AUGMENTATION_OFF, **changes)
        return curves(run)["train/loss"][0][1]

    def test_bfloat16_starts_from_nearly_the_same_loss(self, few_npz: Path, start: Path, tmp_path: Path) -> None:
        exact = self.first_loss(few_npz, start, tmp_path / "exact")
        rounded = self.first_loss(few_npz, start, tmp_path / "rounded", precision="bfloat16")
        assert exact != rounded
        assert rounded == pytest.approx(exact, rel=0.03)

    def test_frozen_parts_stay_as_they_came(self, few_npz: Path, start: Path, tmp_path: Path) -> None:
        run = quick(
            few_npz,
            tmp_path / "run",
            network={"initial_weights": str(start)},
            fine_tuning={"freeze": ["conv1", "bn1", "layer1", "layer2"], "stage_decay": 0.5},
        )
        before, after = torch.load(start, weights_only=True), state(run)
        same = {name.split(".")[0] for name in after if torch.equal(after[name], before[name])}
        assert same == {"conv1", "bn1", "layer1", "layer2"}

    def test_compile_compiles_the_trained_network(
        self, few_npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Compiling itself takes a minute; on a CPU it must not change to channels-last, which corrupts memory.
        compiled: list[torch.nn.Module] = []

        def note(self: ResNet, options: dict[str, bool]) -> None:
            assert options == {"layout_optimization": False}
            compiled.append(self)

        monkeypatch.setattr(ResNet, "compile", note)
        run = quick(few_npz, tmp_path / "run", compile=True, ema_decay=0.9)
        [network] = compiled
        assert torch.equal(network.state_dict()["fc.weight"], state(run, part="raw_network")["fc.weight"])

    def test_the_learning_rate_has_a_curve(self, few_npz: Path, tmp_path: Path) -> None:
        schedule = {"name": "step", "milestones": [1], "warmup": 0, "factor": 0.5}
        run = quick(few_npz, tmp_path / "run", epochs=2, schedule=schedule)
        assert [value for _, value in curves(run)["train/learning_rate"]] == pytest.approx([5e-3] * 2 + [2.5e-3] * 2)


@pytest.mark.parametrize(
    ("asked", "variable", "expected"), [(0, None, [3]), (0, "1", []), (5, None, [5]), (5, "1", [5])]
)
def test_threads_are_the_recipes_the_environments_or_the_usable_cpus(
    monkeypatch: pytest.MonkeyPatch, asked: int, variable: str | None, expected: list[int]
) -> None:
    chosen: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    monkeypatch.setattr(engine, "usable_cpus", lambda: 3)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    engine.make_repeatable(load_recipe("octmnist", [f"threads={asked}"]), torch.device("cpu"))
    assert chosen == expected


@pytest.mark.parametrize("deterministic", [True, False])
def test_cudnn_looks_for_the_fastest_kernels_unless_they_must_repeat(
    monkeypatch: pytest.MonkeyPatch, deterministic: bool
) -> None:
    for flag in ("deterministic", "benchmark"):
        monkeypatch.setattr(torch.backends.cudnn, flag, getattr(torch.backends.cudnn, flag))  # put back at the end
    engine.make_repeatable(load_recipe("octmnist", [f"deterministic={deterministic}"]), torch.device("cpu"))
    assert torch.backends.cudnn.deterministic == deterministic
    assert torch.backends.cudnn.benchmark != deterministic


@pytest.mark.parametrize(
    ("variables", "expected"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "77"}, "77"), ({"OMP_WAIT_POLICY": "PASSIVE"}, "0")],
)
def test_threads_soon_sleep_where_they_wait(variables: dict[str, str], expected: str) -> None:
    """As libgomp itself says when torch loads it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, "-c", "import training; import torch"]
    done = subprocess.run(
        command,
        env=environment | variables | {"OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"GOMP_SPINCOUNT = '{expected}'" in done.stderr
