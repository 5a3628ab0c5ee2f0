"""Which epoch's weights are kept."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.training.tiny_data import tiny_recipe
from training.fitting.selection import Selection


def after(values: Sequence[float], patience: int = 0) -> Selection:
    """The selection after epochs with these figures, whose networks hold the number of their epoch."""
    selection = Selection(tiny_recipe(Path("any.npz"), select_by="accuracy", patience=patience))
    network = nn.Linear(1, 1, bias=False)
    for epoch, value in enumerate(values, start=1):
        with torch.no_grad():
            network.weight.fill_(epoch)
        selection.update(epoch, {"accuracy": value, "ece": -value}, network)
    return selection


@pytest.mark.parametrize(
    ("values", "best"),
    [([0.5, 0.7, 0.6], 2), ([0.5, 0.7, 0.7], 2), ([0.7, 0.7, 0.7], 1), ([0.1, 0.2, 0.3], 3)],
    ids=["the best", "of two equals the first", "of all equal the first", "the last"],
)
def test_keeps_the_first_of_the_best_epochs(values: list[float], best: int) -> None:
    selection = after(values)
    assert (selection.epoch, selection.value) == (best, max(values))
    assert selection.network["weight"].item() == best


def test_an_equal_epoch_does_not_end_the_waiting() -> None:
    selection = after([0.7, 0.7], patience=2)
    assert not selection.exhausted(2)
    assert selection.exhausted(3)
