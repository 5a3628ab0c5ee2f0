"""Gather-excite against the paper's formula, written out below in float64."""

import pytest
import torch
from torch import Tensor

from models.recalibration import GatherExcite
from tests.models.recalibration.trained import move_off_start


def expected(module: GatherExcite, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """A weighted sum over all positions, batch normalisation, sigmoid, product; and the values to differentiate by."""
    inputs = [v.detach().double().requires_grad_() for v in (x, module.conv.weight, module.bn.weight, module.bn.bias)]
    x, positions, weight, bias = inputs
    z = torch.stack([(x[:, c] * positions[c, 0]).sum((1, 2)) for c in range(x.shape[1])], dim=1)
    assert module.bn.running_mean is not None
    assert module.bn.running_var is not None
    mean, var = module.bn.running_mean.double(), module.bn.running_var.double()
    if module.training:
        mean = z.sum(0) / len(z)
        var = ((z - mean) ** 2).sum(0) / len(z)
    gate = 1 / (1 + torch.exp(-((z - mean) / (var + 1e-5) ** 0.5 * weight + bias)))
    return x * gate.reshape(*gate.shape, 1, 1), inputs


def as_if_trained(channels: int, size: int) -> GatherExcite:
    torch.manual_seed(3)
    module = GatherExcite(channels, size)
    move_off_start(module.bn)
    return module


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("size", [1, 5])
def test_equals_the_formula_in_value_and_gradient(size: int, training: bool) -> None:
    module = as_if_trained(4, size).train(training)
    x = torch.randn(6, 4, size, size, requires_grad=True)
    towards = torch.randn(x.shape)
    reference, inputs = expected(module, x)

    y, gate = module(x)
    y.backward(towards)
    reference.backward(towards.double())

    assert gate.shape == (6, 4)
    torch.testing.assert_close(y.double(), reference, atol=1e-5, rtol=1e-5)
    for ours, theirs in zip([x, module.conv.weight, module.bn.weight, module.bn.bias], inputs, strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        torch.testing.assert_close(ours.grad.double(), theirs.grad, atol=1e-5, rtol=1e-4)


def test_batch_of_one_in_evaluation() -> None:
    module = as_if_trained(4, 3).eval()
    x = torch.randn(1, 4, 3, 3)
    torch.testing.assert_close(module(x)[0].double(), expected(module, x)[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("channels", "size"), [(1, 1), (8, 7)])
def test_number_of_values(channels: int, size: int) -> None:
    """A weight for every position of every channel, and batch normalisation's scale and shift."""
    values = sum(p.numel() for p in GatherExcite(channels, size).parameters())
    assert values == channels * size * size + 2 * channels


@pytest.mark.parametrize(("height", "width"), [(6, 6), (4, 4), (5, 6), (1, 1)])
def test_refuses_features_of_another_size(height: int, width: int) -> None:
    module = GatherExcite(2, 5).eval()
    with pytest.raises(ValueError, match=rf"built for features of 5x5 and got {height}x{width}: .* image_size"):
        module(torch.zeros(1, 2, height, width))
