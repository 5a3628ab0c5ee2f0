"""The computation of SRM with few passes over the features and little memory, and its backward pass written out."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

EPSILON = 1e-5  # added to the variance before its square root, as in the authors' code

Integrate = Callable[[Tensor, Tensor], Tensor]


def style_pooling(x: Tensor, correction: int = 1, scratch: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Pool each channel of each image to its style: mean and standard deviation over the positions.

    In float32, or float64 for such features. The mean comes first and the variance from the centred values: the same
    numbers as ``torch.var_mean``, which is fast on a GPU and several times slower than these steps on a CPU. Compilers
    and the exporter see the steps too, which are plain differentiable operations unless they get ``scratch``. A
    constant map, and a map of a single position, has sigma = sqrt(1e-5) and a finite gradient.

    Args:
        x: features (N, C, H, W).
        correction: the variance is divided by H*W - correction (0: the population's, 1: unbiased).
        scratch: memory of the shape of x for the steps to write into, on a CPU; no gradient can then be asked for.

    Returns:
        ``mu`` (N, C) and ``sigma = sqrt(variance + 1e-5)`` (N, C).
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    positions = x.shape[-2] * x.shape[-1]
    if x.device.type == "cpu" or torch.compiler.is_compiling():
        mu = x.mean(dim=(2, 3), keepdim=True, dtype=dtype)
        centred = torch.sub(x, mu, out=scratch)
        variance = torch.mul(centred, centred, out=scratch).mean(dim=(2, 3))
    else:
        population, mu = torch.var_mean(x.to(dtype), dim=(2, 3), correction=0, keepdim=True)
        variance = population.squeeze((2, 3))
    variance = variance * (positions / max(positions - correction, 1))
    return mu.squeeze((2, 3)), (variance + EPSILON).sqrt()


def pool(x: Tensor, correction: int) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return the style without a gradient and, on a CPU, the memory of x's size that it took, to use again.

    Most of the time on a CPU would go to fresh memory if each step took its own.
    """
    if x.device.type != "cpu":
        return *style_pooling(x, correction), None
    scratch = torch.empty_like(x, dtype=torch.promote_types(x.dtype, torch.float32))
    return *style_pooling(x, correction, scratch), scratch if scratch.dtype == x.dtype else None


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
