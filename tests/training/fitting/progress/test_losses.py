"""Losses that are read some steps late: the same curves and weights, and a run that stops before it saves nonsense."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.training.fitting.quick import quick, state
from tests.training.run_folder import curves
from training.errors import TrainingError
from training.fitting import assembly
from training.fitting.progress.losses import Losses, StepFigures

CPU = torch.device("cpu")


class Late(Losses):
    """As on a GPU."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self.behind = 3


def after(step: int, loss: float) -> Any:
    """A trainer after a step."""
    optimiser = SimpleNamespace(param_groups=[{"lr": step / 10}, {"lr": step / 20}])
    return SimpleNamespace(
        state=SimpleNamespace(output={"loss": torch.tensor(loss)}, iteration=step, epoch=1 + step // 10),
        optimizer=optimiser,
    )


def test_are_handed_on_in_order_as_many_steps_late_as_allowed() -> None:
    heard: list[StepFigures] = []
    losses = Late(CPU)
    losses.listeners.append(heard.append)
    for step in range(1, 6):
        losses.add(after(step, float(step)))
    assert heard == [StepFigures(1, 1, 1.0, 0.1), StepFigures(2, 1, 2.0, 0.2)]
    assert losses.newest == 2.0
    losses.settle()
    assert [figures.step for figures in heard] == [1, 2, 3, 4, 5]


def test_on_a_cpu_are_read_at_once() -> None:
    heard: list[StepFigures] = []
    losses = Losses(CPU)
    losses.listeners.append(heard.append)
    losses.add(after(1, 0.5))
    assert heard == [StepFigures(1, 1, 0.5, 0.1)]


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_that_are_not_finite_name_their_step(loss: float) -> None:
    heard: list[StepFigures] = []
    losses = Late(CPU)
    losses.listeners.append(heard.append)
    for step, value in ((18, 1.0), (19, loss), (20, loss)):
        losses.add(after(step, value))
    with pytest.raises(TrainingError, match=rf"the loss is {loss} in step 19, epoch 2: lower optimiser"):
        losses.settle()
    assert [figures.step for figures in heard] == [18]


def test_late_change_neither_curves_nor_weights(few_npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes: dict[str, Any] = {"epochs": 3, "checkpoint_every": 1}
    prompt = quick(few_npz, tmp_path / "prompt", **changes)
    monkeypatch.setattr(assembly, "Losses", Late)
    late = quick(few_npz, tmp_path / "late", **changes)
    for tag in ("train/loss", "train/learning_rate", "macro_auc"):
        assert curves(late)[tag] == curves(prompt)[tag]
        assert len(curves(late)[tag]) in (3, 6)
    one, other = state(late), state(prompt)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_step_that_is_not_finite_is_never_saved(
    few_npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "Losses", Late)
    with pytest.raises(TrainingError, match="the loss is"):
        quick(
            few_npz,
            tmp_path / "run",
            batch_size=4,
            checkpoint_every=1,
            schedule={"name": "constant", "warmup": 0},
            optimiser={"name": "sgd", "learning_rate": 1e38},
        )
    saved = sorted((tmp_path / "run" / "checkpoints").iterdir())
    assert saved
    for path in saved:
        content = torch.load(path, weights_only=True)
        assert content["iteration"] == 1, "the weights are lost in the first step, which the second one's loss shows"
