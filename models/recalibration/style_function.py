"""SRM as one differentiable operation, with its backward pass written out."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

EPSILON = 1e-5  # added to the variance before its square root, as in the authors' code


class RecalibrateByStyle(torch.autograd.Function):
    """Style pooling, style integration and recalibration of features (N, C, H, W) together.

    ``apply(x, shortcut, correction, integrate, differentiable, *parameters)`` returns ``x * gate + shortcut``, or
    ``x * gate`` where the shortcut is None, and the gates (N, C).

    Autograd would keep the centred features as well as ``x``, and go over all features for each operation. Here ``x``
    alone is kept, intermediate values share the memory of the result, and the gradient is

        dx = dy * gate + a + b * x

    with an ``a`` and a ``b`` for each channel of each image. What lies between the pooling and the gate is of size
    (N, C): there autograd does its part, whatever ``integrate(mu, sigma)`` makes of ``parameters``. It can be
    differentiated once; a second derivative raises.

    ``differentiable`` says whether a gradient may be asked for, which the forward pass itself can't see.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        shortcut: Tensor | None,
        correction: int,
        integrate: Callable[[Tensor, Tensor], Tensor],
        differentiable: bool,
        *parameters: Tensor,
    ) -> tuple[Tensor, Tensor]:
        mu, squares, scratch = centred_squares(x)
        divisor = max(x.shape[2] * x.shape[3] - correction, 1)
        sigma = (squares / divisor + EPSILON).sqrt()
        with torch.set_grad_enabled(differentiable):
            gate = integrate(mu.requires_grad_(differentiable), sigma.requires_grad_(differentiable))
        if differentiable:
            ctx.set_materialize_grads(False)
            ctx.save_for_backward(x)
            ctx.divisor = divisor
            ctx.shortcut_dtype = None if shortcut is None else shortcut.dtype
            ctx.integration = mu, sigma, gate, parameters
        gate = gate.detach()
        scale = gate.to(x.dtype)[:, :, None, None]
        if shortcut is None:
            return torch.mul(x, scale, out=scratch), gate
        return torch.addcmul(shortcut, x, scale, out=scratch if shortcut.dtype == x.dtype else None), gate

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor | None, dgate: Tensor | None) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        mu, sigma, gate, parameters = ctx.integration
        needs_x, needs_shortcut, _, _, _, *needs_parameters = ctx.needs_input_grad
        dshortcut = dy.to(ctx.shortcut_dtype) if dy is not None and needs_shortcut else None
        if not needs_x and not any(needs_parameters):
            return None, dshortcut, None, None, None, *[None] * len(parameters)

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
            dx = torch.addcmul(a[:, :, None, None], x, b[:, :, None, None], out=scratch)
            if dy is not None:
                dx.addcmul_(dy, gate.detach().to(x.dtype)[:, :, None, None])
        return dx, dshortcut, None, None, None, *dparameters


def centred_squares(x: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return the mean over the positions (N, C), the sum of squared deviations from it (N, C), and memory to reuse.

    In float32, or float64 for such features. ``torch.var_mean`` is fast on a GPU; on a CPU it is a multiple slower
    than the three steps here, most of whose time would go to fresh memory if each had its own.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    if x.device.type != "cpu":
        variance, mu = torch.var_mean(x.to(dtype), dim=(2, 3), correction=0)
        return mu, variance * (x.shape[2] * x.shape[3]), None
    mu = x.mean(dim=(2, 3), keepdim=True, dtype=dtype)
    scratch = torch.empty_like(x, dtype=dtype)
    squares = torch.sub(x, mu, out=scratch).square_().sum(dim=(2, 3))
    return mu[:, :, 0, 0], squares, scratch if dtype == x.dtype else None
