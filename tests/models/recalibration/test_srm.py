"""SRM against the paper's formula, written out below in float64 one statistic at a time."""

import pytest
import torch
from torch import Tensor

from models.recalibration.srm import FoldedStyleRecalibration, StyleRecalibration
from models.recalibration.style_function import style_pooling
from tests.models.recalibration.trained import as_if_trained, features

SHAPE = (5, 4, 6, 3)


def integrate(x: Tensor, cfc: Tensor, correction: int) -> Tensor:
    """Paper, equations 1 to 4: style pooling and the channel-wise fully connected layer, z (N, C)."""
    positions = x.shape[2] * x.shape[3]
    mu = x.sum(3).sum(2) / positions
    deviations = (x - mu.reshape(*mu.shape, 1, 1)) ** 2
    sigma = (deviations.sum(3).sum(2) / max(positions - correction, 1) + 1e-5) ** 0.5
    return cfc[:, 0] * mu + cfc[:, 1] * sigma


def expected_gate(x: Tensor, cfc: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor, k: int) -> Tensor:
    """Paper, equations 5 to 8, with these batch statistics."""
    z = integrate(x, cfc, k)
    return 1 / (1 + torch.exp(-((z - mean) / (var + 1e-5) ** 0.5 * weight + bias)))


def expected(module: StyleRecalibration, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The output of the formula in float64, and the values that it depends on, to differentiate by."""
    x = x.detach().double().requires_grad_()
    cfc, weight, bias = (p.detach().double().requires_grad_() for p in (module.cfc, module.bn.weight, module.bn.bias))
    assert module.bn.running_mean is not None
    assert module.bn.running_var is not None
    mean, var = module.bn.running_mean.double(), module.bn.running_var.double()
    if module.training:
        z = integrate(x, cfc, module.correction)
        mean = z.sum(0) / len(z)
        var = ((z - mean) ** 2).sum(0) / len(z)
    gate = expected_gate(x, cfc, mean, var, weight, bias, module.correction)
    return x * gate.reshape(*gate.shape, 1, 1), [x, cfc, weight, bias]


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("correction", [0, 1])
def test_equals_the_formula_in_value_and_gradient(correction: int, training: bool) -> None:
    module = as_if_trained(SHAPE[1], correction).train(training)
    x = features(*SHAPE).requires_grad_()
    towards = torch.randn(SHAPE)
    reference, inputs = expected(module, x)

    y, gate = module(x)
    y.backward(towards)
    reference.backward(towards.double())

    torch.testing.assert_close(y.double(), reference, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close((x * gate[:, :, None, None]), y, atol=0, rtol=0)
    for ours, theirs in zip([x, module.cfc, module.bn.weight, module.bn.bias], inputs, strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        torch.testing.assert_close(ours.grad.double(), theirs.grad, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("correction", [0, 1])
def test_running_statistics_after_one_batch(correction: int) -> None:
    module = StyleRecalibration(SHAPE[1], correction=correction)
    with torch.no_grad():
        module.cfc.copy_(torch.tensor([[1.0, 0.5], [-1.0, 2.0], [0.0, 1.0], [0.3, 0.0]]))
    x = features(*SHAPE)
    z = integrate(x.double(), module.cfc.detach().double(), correction)
    mean = z.sum(0) / len(z)
    unbiased = ((z - mean) ** 2).sum(0) / (len(z) - 1)

    module(x)

    assert module.bn.running_mean is not None
    assert module.bn.running_var is not None
    torch.testing.assert_close(module.bn.running_mean.double(), 0.1 * mean, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(module.bn.running_var.double(), 0.9 + 0.1 * unbiased, atol=1e-6, rtol=1e-5)


def test_evaluation_leaves_the_running_statistics_alone() -> None:
    module = as_if_trained(4).eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    module(features(*SHAPE))
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_fresh_module_gates_by_one_half() -> None:
    x = features(*SHAPE)
    y, gate = StyleRecalibration(4).eval()(x)
    assert torch.equal(gate, torch.full((5, 4), 0.5))
    assert torch.equal(y, x / 2)


def test_style_integration_starts_at_zero() -> None:
    assert torch.equal(StyleRecalibration(3).cfc, torch.zeros(3, 2))


@pytest.mark.parametrize("correction", [0, 1])
def test_pooling_equals_torch_var_mean(correction: int) -> None:
    x = features(*SHAPE)
    variance, mean = torch.var_mean(x.double(), dim=(2, 3), correction=correction)
    mu, sigma = style_pooling(x, correction)
    torch.testing.assert_close(mu.double(), mean, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(sigma.double(), (variance + 1e-5).sqrt(), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("correction", [0, 1])
def test_gradient_of_the_pooling(correction: int) -> None:
    x = features(2, 3, 4, 2).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda value: style_pooling(value, correction), x)


def test_the_mean_is_taken_out_before_squaring() -> None:
    """With E[x^2] - E[x]^2 a spread of 0.1 about 1000 would drown in float32."""
    x = features(2, 3, 16, 16) * 0.1 + 1000
    variance, _ = torch.var_mean(x.double(), dim=(2, 3), correction=1)
    _, sigma = style_pooling(x, 1)
    torch.testing.assert_close(sigma.double(), (variance + 1e-5).sqrt(), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("x", [torch.randn(3, 4, 1, 1), torch.full((3, 4, 5, 5), 0.7)], ids=["1x1", "constant"])
@pytest.mark.parametrize("correction", [0, 1])
def test_maps_without_spread(x: Tensor, correction: int) -> None:
    mu, sigma = style_pooling(x, correction)
    torch.testing.assert_close(mu, x[:, :, 0, 0])
    torch.testing.assert_close(sigma, torch.full((3, 4), 1e-5**0.5), atol=1e-6, rtol=0)

    for training in (True, False):
        module = as_if_trained(4, correction).train(training)
        leaf = x.clone().requires_grad_()
        y, gate = module(leaf)
        (y.square().sum() + gate.square().sum()).backward()
        assert y.isfinite().all()
        for value in (leaf, *module.parameters()):
            assert value.grad is not None
            assert value.grad.isfinite().all()


def test_batch_of_one_in_evaluation() -> None:
    module = as_if_trained(4).eval()
    x = features(1, 4, 6, 3)
    torch.testing.assert_close(module(x)[0].double(), expected(module, x)[0], atol=1e-5, rtol=1e-5)


def test_batch_of_one_in_training() -> None:
    """The authors' code raises here."""
    module = as_if_trained(4).train()
    x = features(1, 4, 6, 3).requires_grad_()
    y, gate = module(x)
    y.square().sum().backward()
    assert gate.shape == (1, 4)
    for value in (y, x.grad, *module.state_dict().values()):
        assert value is not None
        assert value.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_pooling_stays_in_float32_under_autocast(dtype: torch.dtype) -> None:
    """Large values: a float16 sum overflows, and bfloat16 has a step of 8 at 1000."""
    module = as_if_trained(3).train()
    offset = torch.linspace(900, 1100, 5)[:, None, None, None]
    x = (torch.randn(5, 3, 32, 32) * 30 + offset).to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, gate = module(x)
    assert y.dtype == dtype
    reference = expected(module, x.float())[0] / x.double()
    assert gate.std() > 0.05
    torch.testing.assert_close(gate.double(), reference.mean(dim=(2, 3)), atol=1e-3, rtol=0)


def test_float32_features_stay_float32_under_autocast() -> None:
    module = as_if_trained(3).eval()
    x = features(2, 3, 4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, _ = module(x)
    assert y.dtype == torch.float32
    assert torch.equal(y, module(x)[0])


@pytest.mark.parametrize("channels", [1, 64, 2048])
def test_number_of_values(channels: int) -> None:
    """4C trainable values and 2C + 1 buffers."""
    module = StyleRecalibration(channels)
    assert sum(p.numel() for p in module.parameters() if p.requires_grad) == 4 * channels
    assert sum(b.numel() for b in module.buffers()) == 2 * channels + 1


@pytest.mark.parametrize("correction", [-1, 2])
def test_refuses_another_correction(correction: int) -> None:
    with pytest.raises(ValueError, match=f"correction must be 0 .* or 1 .*, not {correction}"):
        StyleRecalibration(4, correction=correction)


@pytest.mark.parametrize("correction", [0, 1])
def test_folded_equals_the_formula(correction: int) -> None:
    trained = as_if_trained(4, correction).eval()
    x = features(*SHAPE)
    y, gate = FoldedStyleRecalibration(trained)(x)
    torch.testing.assert_close(y.double(), expected(trained, x)[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(gate, trained(x)[1], atol=1e-6, rtol=0)
