"""Squeeze-and-excitation against the paper's formula, written out below unit by unit."""

import math

import pytest
import torch
from torch import Tensor

from models.recalibration import SqueezeExcitation


def expected_gate(module: SqueezeExcitation, x: Tensor) -> list[list[float]]:
    """Paper, section 3: sigmoid(W2 relu(W1 mean(x) + b1) + b2), in Python's floats."""
    w1, b1 = module.fc1.weight.tolist(), module.fc1.bias.tolist()
    w2, b2 = module.fc2.weight.tolist(), module.fc2.bias.tolist()
    gates = []
    for image in x.tolist():
        squeezed = [sum(map(sum, channel)) / (len(channel) * len(channel[0])) for channel in image]
        hidden = [
            max(0.0, sum(w * s for w, s in zip(row, squeezed, strict=True)) + b) for row, b in zip(w1, b1, strict=True)
        ]
        excited = [sum(w * h for w, h in zip(row, hidden, strict=True)) + b for row, b in zip(w2, b2, strict=True)]
        gates.append([1 / (1 + math.exp(-value)) for value in excited])
    return gates


@pytest.mark.parametrize("reduction", [2, 16])
def test_equals_the_formula(reduction: int) -> None:
    torch.manual_seed(0)
    module = SqueezeExcitation(32, reduction=reduction)
    x = torch.randn(3, 32, 5, 4) * 3
    y, gate = module(x)
    wanted = torch.tensor(expected_gate(module, x))
    torch.testing.assert_close(gate, wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(y, x * wanted[:, :, None, None], atol=1e-5, rtol=1e-5)


def test_gradient() -> None:
    torch.manual_seed(0)
    module = SqueezeExcitation(4, reduction=2).double()
    x = torch.randn(2, 4, 3, 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(module, x)


@pytest.mark.parametrize(("channels", "hidden"), [(64, 4), (2048, 128), (16, 1), (3, 1)])
def test_number_of_values(channels: int, hidden: int) -> None:
    """Reduction 16 with biases, and at least one hidden value."""
    values = sum(p.numel() for p in SqueezeExcitation(channels).parameters())
    assert values == channels * hidden + hidden + hidden * channels + channels
