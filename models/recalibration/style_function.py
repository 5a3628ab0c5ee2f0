"""The computation of SRM with few passes over the features and little memory, and its backward pass written out."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

EPSILON = 1e-5  # added to the variance before its square root, as in the authors' code

Integrate = Callable[[Tensor, Tensor], Tensor]


def pool(x: Tensor, correction: int) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return mean and standard deviation over the positions, each (N, C), and memory of x's size to use again.

    In float32, or float64 for such features. ``torch.var_mean`` is fast on a GPU; on a CPU it is a multiple slower
    than the steps here, most of whose time would go to fresh memory if each took its own.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    positions = x.shape[2] * x.shape[3]
    divisor = max(positions - correction, 1)
    if x.device.type != "cpu":
        variance, mu = torch.var_mean(x.to(dtype), dim=(2, 3), correction=0)
        return mu, variance.mul_(positions / divisor).add_(EPSILON).sqrt_(), None
    mu = x.mean(dim=(2, 3), keepdim=True, dtype=dtype)
    scratch = torch.empty_like(x, dtype=dtype)
    squares = torch.sub(x, mu, out=scratch).square_().sum(dim=(2, 3))
    return mu.squeeze((2, 3)), squares.div_(divisor).add_(EPSILON).sqrt_(), scratch if dtype == x.dtype else None


def rescale(x: Tensor, shortcut: Tensor | None, gate: Tensor, scratch: Tensor | None) -> Tensor:
    """Return ``x * gate + shortcut``, or ``x * gate`` where the shortcut is None, in ``scratch`` if there is one."""
    scale = per_map(gate.to(x.dtype))
    if shortcut is None:
        return torch.mul(x, scale, out=scratch)
    return torch.addcmul(shortcut, x, scale, out=scratch if shortcut.dtype == x.dtype else None)


def recalibrate_by_style(
    x: Tensor, shortcut: Tensor | None, correction: int, integrate: Integrate
) -> tuple[Tensor, Tensor]:
    """Return ``x * gate + shortcut`` (N, C, H, W) and the gates (N, C); no gradient can be asked for."""
    mu, sigma, scratch = pool(x, correction)
    gate = integrate(mu, sigma)
    return rescale(x, shortcut, gate, scratch), gate


class RecalibrateByStyle(torch.autograd.Function):
    """``apply(x, shortcut, correction, integrate, *parameters)`` is :func:`recalibrate_by_style` with a gradient.

    Autograd would keep the centred features as well as ``x``, and go over all features for each operation. Here ``x``
    alone is kept, and the gradient is

        dx = dy * gate + a + b * x

    with an ``a`` and a ``b`` for each channel of each image. What lies between the pooling and the gate is of size
    (N, C): there autograd does its part, whatever ``integrate(mu, sigma)`` makes of ``parameters``. It can be
    differentiated once; a second derivative raises.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, shortcut: Tensor | None, correction: int, integrate: Integrate, *parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        mu, sigma, scratch = pool(x, correction)
        with torch.enable_grad():
            gate = integrate(mu.requires_grad_(), sigma.requires_grad_())
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x)
        ctx.divisor = max(x.shape[2] * x.shape[3] - correction, 1)
        ctx.shortcut_dtype = None if shortcut is None else shortcut.dtype
        ctx.integration = mu, sigma, gate, parameters
        gate = gate.detach()
        return rescale(x, shortcut, gate, scratch), gate

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor | None, dgate: Tensor | None) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        mu, sigma, gate, parameters = ctx.integration
        needs_x, needs_shortcut, _, _, *needs_parameters = ctx.needs_input_grad
        dshortcut = dy.to(ctx.shortcut_dtype) if dy is not None and needs_shortcut else None
        unused = dy is None and dgate is None
        if unused or not (needs_x or any(needs_parameters)):
            return None, dshortcut, None, None, *[None] * len(parameters)

        scratch = torch.empty_like(x)
        if dy is not None:
            dy = dy.to(x.dtype)
            product = torch.mul(dy, x, out=scratch).sum(dim=(2, 3), dtype=gate.dtype)
            dgate = product if dgate is None else dgate + product
        wanted = [p for p, needed in zip(parameters, needs_parameters, strict=True) if needed]
        # retain_graph: whether the caller goes backward a second time isn't known here, and the graph is small
        dmu, dsigma, *found = torch.autograd.grad(gate, [mu, sigma, *wanted], dgate, retain_graph=True)
        gradients = iter(found)
        dparameters = [next(gradients) if needed else None for needed in needs_parameters]

        dx = None
        if needs_x:
            b = dsigma / (sigma.detach() * ctx.divisor)
            a = dmu / (x.shape[2] * x.shape[3]) - b * mu.detach()
            dx = torch.addcmul(per_map(a), x, per_map(b), out=scratch)
            if dy is not None:
                dx.addcmul_(dy, per_map(gate.detach().to(x.dtype)))
        return dx, dshortcut, None, None, *dparameters


def per_map(values: Tensor) -> Tensor:
    """Shape (N, C) to (N, C, 1, 1)."""
    return values.view(*values.shape, 1, 1)
