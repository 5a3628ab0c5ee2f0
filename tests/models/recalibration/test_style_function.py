"""SRM's own backward pass: against finite differences, and against autograd on the plain operations."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from models.recalibration.base import Recalibration
from models.recalibration.srm import FoldedStyleRecalibration, StyleGate
from tests.models.recalibration.trained import as_if_trained, features

Forward = Callable[[StyleGate, Tensor, Tensor | None], tuple[Tensor, Tensor]]


def own(module: StyleGate, x: Tensor, shortcut: Tensor | None) -> tuple[Tensor, Tensor]:
    return module(x, shortcut)


def by_autograd(module: StyleGate, x: Tensor, shortcut: Tensor | None) -> tuple[Tensor, Tensor]:
    """The same from plain operations."""
    return Recalibration.forward(module, x, shortcut)


def gradients(
    forward: Forward, module: StyleGate, x: Tensor, shortcut: Tensor | None, through: str
) -> dict[str, Tensor | None]:
    """Gradients of a weighted sum of the output, of the gates or of both."""
    module = copy.deepcopy(module)
    given = {"x": x} if shortcut is None else {"x": x, "shortcut": shortcut}
    leaves = {name: value.detach().clone().requires_grad_(value.requires_grad) for name, value in given.items()}
    y, gate = forward(module, leaves["x"], leaves.get("shortcut"))
    weights = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).reshape(y.shape)
    total = torch.zeros((), dtype=gate.dtype)
    if "y" in through:
        total = total + (y.relu_() * weights).sum()  # in place, as the residual block does
    if "gate" in through:
        total = total + (gate * weights[:, :, 0, 0].to(gate.dtype)).sum()
    total.backward()
    found = {"y": y, "gate": gate, **{name: leaf.grad for name, leaf in leaves.items()}}
    return {**found, **{name: value.grad for name, value in module.named_parameters()}}


def check_same(module: StyleGate, x: Tensor, shortcut: Tensor | None = None, through: str = "y and gate") -> None:
    """Each gradient within 1e-5 of autograd's in float64, relative to its largest value."""
    exact = gradients(
        by_autograd,
        copy.deepcopy(module).double(),
        x.detach().double().requires_grad_(x.requires_grad),
        None if shortcut is None else shortcut.detach().double().requires_grad_(shortcut.requires_grad),
        through,
    )
    ours = gradients(own, module, x, shortcut, through)
    assert ours.keys() == exact.keys()
    for name, value in exact.items():
        found = ours[name]
        if value is None:
            assert found is None, name
        else:
            assert found is not None, name
            worst = (found.double() - value).abs().max() / value.abs().max().clamp(min=1e-3)
            assert worst < 1e-5, f"{name}: {worst:.2g}"


@pytest.mark.parametrize("with_shortcut", [False, True], ids=["alone", "shortcut"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("correction", [0, 1])
@pytest.mark.parametrize("maps", ["varied", "1x1", "constant"])
def test_gradcheck(maps: str, correction: int, training: bool, with_shortcut: bool) -> None:
    module = as_if_trained(2, correction).double().train(training)
    x = {
        "varied": features(3, 2, 4, 3).double(),
        "1x1": features(3, 2, 1, 1).double(),
        "constant": features(3, 2, 1, 1).double().expand(3, 2, 3, 3).clone(),
    }[maps].requires_grad_()
    shortcut = [torch.randn_like(x).requires_grad_()] if with_shortcut else []

    def forward(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        y, gate = module(*inputs[: 1 + len(shortcut)])
        return y, gate

    assert torch.autograd.gradcheck(forward, (x, *shortcut, *module.parameters()))


@pytest.mark.parametrize("through", ["y", "gate", "y and gate"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_gradient_equals_autograds(training: bool, layout: torch.memory_format, through: str) -> None:
    module = as_if_trained(16).train(training)
    x, shortcut = (features(6, 16, 14, 14, seed=s).contiguous(memory_format=layout) for s in (0, 1))
    check_same(module, x.requires_grad_(), shortcut.requires_grad_(), through)
    y, _ = module(x, shortcut)
    assert y.is_contiguous(memory_format=layout)


def test_batch_of_one_in_training() -> None:
    check_same(as_if_trained(8).train(), features(1, 8, 7, 7).requires_grad_())


@pytest.mark.parametrize(
    ("x", "shortcut", "parameters"),
    [
        (True, True, ()),
        (True, False, ("cfc",)),
        (False, False, ("bn.bias",)),
        (False, True, ()),
        (False, True, ("cfc",)),
    ],
)
def test_frozen_parts_get_no_gradient(x: bool, shortcut: bool, parameters: tuple[str, ...]) -> None:
    module = as_if_trained(8).train()
    for name, value in module.named_parameters():
        value.requires_grad_(name in parameters)
    first, second = features(4, 8, 5, 5), features(4, 8, 5, 5, seed=1)
    check_same(module, first.requires_grad_(x), second.requires_grad_(shortcut), "y")


def test_folded_module_passes_a_gradient_to_its_input() -> None:
    check_same(FoldedStyleRecalibration(as_if_trained(8).eval()), features(4, 8, 5, 5).requires_grad_())


def test_bfloat16_is_as_near_as_autograd_comes() -> None:
    module = as_if_trained(8).train()
    x, shortcut = (features(6, 8, 12, 12, seed=s).bfloat16().requires_grad_() for s in (0, 1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours, theirs = (gradients(f, module, x, shortcut, "y") for f in (own, by_autograd))
    exact = gradients(
        by_autograd,
        copy.deepcopy(module).double(),
        x.detach().double().requires_grad_(),
        shortcut.detach().double().requires_grad_(),
        "y",
    )
    for name, value in exact.items():
        found, reference = ours[name], theirs[name]
        assert value is not None
        assert found is not None
        assert reference is not None
        assert found.dtype == reference.dtype, name
        errors = [(v.double() - value).norm() / value.norm() for v in (found, reference)]
        assert errors[0] < max(1.5 * errors[1], 1e-2), name


def test_keeps_one_tensor_of_the_features_size() -> None:
    """For the backward pass; autograd keeps the centred features as well."""
    x = features(4, 8, 16, 16).requires_grad_()

    def kept(forward: Forward) -> int:
        sizes: dict[int, int] = {}

        def pack(value: Tensor) -> Tensor:
            sizes[value.data_ptr()] = value.numel()
            return value

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
            forward(as_if_trained(8).train(), x, None)
        return sum(size == x.numel() for size in sizes.values())

    assert kept(own) == 1
    assert kept(by_autograd) > 1


def test_goes_backward_again_when_the_graph_is_kept() -> None:
    module, x = as_if_trained(4).train(), features(3, 4, 5, 5).requires_grad_()
    y, _ = module(x)
    y.square().sum().backward(retain_graph=True)
    assert x.grad is not None
    once = x.grad.clone()
    y.square().sum().backward()
    torch.testing.assert_close(x.grad, 2 * once)


def test_a_second_derivative_is_refused() -> None:
    x = features(3, 4, 5, 5).requires_grad_()
    y, _ = as_if_trained(4).train()(x)
    (gradient,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        gradient.sum().backward()


def test_a_change_of_the_features_before_the_backward_pass_is_noticed() -> None:
    leaf = features(3, 4, 5, 5).requires_grad_()
    x = leaf * 1
    y, _ = as_if_trained(4).train()(x)
    x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_same_values_without_a_gradient(context: Callable[[], torch.no_grad]) -> None:
    module, x, shortcut = as_if_trained(4).eval(), features(3, 4, 5, 5), features(3, 4, 5, 5, seed=1)
    with context():
        y, gate = module(x, shortcut)
    assert not y.requires_grad
    for ours, theirs in zip((y, gate), module(x, shortcut), strict=True):
        assert torch.equal(ours, theirs)


class EndOfBlock(nn.Module):
    """What a residual block does with SRM, to compile or to export."""

    def __init__(self, recalibration: StyleGate) -> None:
        super().__init__()
        self.recalibration = recalibration

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, gate = self.recalibration(x * 2, x)
        return y.relu_(), gate


def test_compiles_into_one_graph() -> None:
    module, x = EndOfBlock(as_if_trained(4).train()), features(3, 4, 5, 5)
    expected = module(x)
    compiled = torch.compile(copy.deepcopy(module), backend="aot_eager", fullgraph=True)
    leaf = x.clone().requires_grad_()
    for ours, theirs in zip(compiled(leaf), expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)
    compiled(leaf)[0].sum().backward()
    reference = x.clone().requires_grad_()
    module(reference)[0].sum().backward()
    torch.testing.assert_close(leaf.grad, reference.grad, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("folded", [False, True], ids=["trained", "folded"])
def test_exports(folded: bool) -> None:
    trained, x = as_if_trained(4).eval(), features(3, 4, 5, 5)
    module = EndOfBlock(FoldedStyleRecalibration(trained) if folded else trained).eval()
    program = torch.export.export(module, (x,), dynamic_shapes={"x": {0: torch.export.Dim("batch", min=1)}})
    assert "autograd" not in str(program.graph)
    for ours, theirs in zip(program.module()(x[:2]), module(x[:2]), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)
