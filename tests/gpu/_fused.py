"""A block's last BatchNorm, SRM, the shortcut and the ReLU in two passes over the features, in Triton.

A candidate that `tests.gpu.training` measures; `models` does not use it. BatchNorm's statistics follow from each
image's own mean and variance, and so do the mean and deviation of what BatchNorm returns. One pooling therefore serves
both, and everything between it and the output is of size (N, C).
"""

from collections.abc import Callable
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.recalibration import StyleRecalibration
from models.recalibration.style_function import EPSILON
from models.resnet import Block

TILE = 2048
"""Values that a program holds at once: at most 64 channels, which in 16 bits lie side by side in 128 bytes."""

Coefficients = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


@triton.jit
def pool_kernel(x, mean, variance, positions, channels, rows: tl.constexpr, columns: tl.constexpr):
    """Mean and population variance over the positions, by Chan's parallel update, block of rows after block."""
    image = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * columns + tl.arange(0, columns)
    exists = column < channels
    average = tl.zeros([columns], tl.float32)
    squares = tl.zeros([columns], tl.float32)
    for start in range(0, positions, rows):
        row = start + tl.arange(0, rows)
        inside = (row < positions)[:, None] & exists[None, :]
        offset = (image * positions + row[:, None]) * channels + column[None, :]
        value = tl.load(x + offset, mask=inside, other=0.0).to(tl.float32)
        count = tl.minimum(rows, positions - start).to(tl.float32)
        own = tl.sum(value, axis=0) / count
        centred = tl.where(inside, value - own[None, :], 0.0)
        total = start + count
        difference = own - average
        average += difference * (count / total)
        squares += tl.sum(centred * centred, axis=0) + difference * difference * (start * count / total)
    place = image * channels + column
    tl.store(mean + place, average, mask=exists)
    tl.store(variance + place, squares / positions, mask=exists)


@triton.jit
def apply_kernel(x, shortcut, mean, scale, offset, out, positions, channels, rows: tl.constexpr, columns: tl.constexpr):
    """``relu((x - mean) * scale + offset + shortcut)``."""
    image = tl.program_id(0).to(tl.int64)
    row = tl.program_id(1) * rows + tl.arange(0, rows)
    column = tl.program_id(2) * columns + tl.arange(0, columns)
    exists = column < channels
    inside = (row < positions)[:, None] & exists[None, :]
    index = (image * positions + row[:, None]) * channels + column[None, :]
    place = image * channels + column
    m = tl.load(mean + place, mask=exists, other=0.0)[None, :]
    p = tl.load(scale + place, mask=exists, other=0.0)[None, :]
    q = tl.load(offset + place, mask=exists, other=0.0)[None, :]
    value = tl.load(x + index, mask=inside, other=0.0).to(tl.float32)
    other = tl.load(shortcut + index, mask=inside, other=0.0).to(tl.float32)
    result = tl.maximum((value - m) * p + q + other, 0.0)
    tl.store(out + index, result.to(out.dtype.element_ty), mask=inside)


@triton.jit
def reduce_kernel(
    dout, out, x, mean, dz, dscale, doffset, positions, channels, rows: tl.constexpr, columns: tl.constexpr
):
    """Backward of the ReLU into ``dz``, and over the positions the sums of ``dz * (x - mean)`` and ``dz``."""
    image = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * columns + tl.arange(0, columns)
    exists = column < channels
    place = image * channels + column
    m = tl.load(mean + place, mask=exists, other=0.0)[None, :]
    products = tl.zeros([columns], tl.float32)
    sums = tl.zeros([columns], tl.float32)
    for start in range(0, positions, rows):
        row = start + tl.arange(0, rows)
        inside = (row < positions)[:, None] & exists[None, :]
        index = (image * positions + row[:, None]) * channels + column[None, :]
        gradient = tl.load(dout + index, mask=inside, other=0.0)
        passed = tl.load(out + index, mask=inside, other=0.0) > 0
        gradient = tl.where(passed, gradient, 0.0)
        tl.store(dz + index, gradient, mask=inside)
        value = tl.load(x + index, mask=inside, other=0.0).to(tl.float32)
        wide = gradient.to(tl.float32)
        products += tl.sum(wide * (value - m), axis=0)
        sums += tl.sum(wide, axis=0)
    tl.store(dscale + place, products, mask=exists)
    tl.store(doffset + place, sums, mask=exists)


@triton.jit
def gradient_kernel(dz, x, mean, scale, a, b, dx, positions, channels, rows: tl.constexpr, columns: tl.constexpr):
    """``dz * scale + a + b * (x - mean)``."""
    image = tl.program_id(0).to(tl.int64)
    row = tl.program_id(1) * rows + tl.arange(0, rows)
    column = tl.program_id(2) * columns + tl.arange(0, columns)
    exists = column < channels
    inside = (row < positions)[:, None] & exists[None, :]
    index = (image * positions + row[:, None]) * channels + column[None, :]
    place = image * channels + column
    m = tl.load(mean + place, mask=exists, other=0.0)[None, :]
    p = tl.load(scale + place, mask=exists, other=0.0)[None, :]
    first = tl.load(a + place, mask=exists, other=0.0)[None, :]
    second = tl.load(b + place, mask=exists, other=0.0)[None, :]
    gradient = tl.load(dz + index, mask=inside, other=0.0).to(tl.float32)
    value = tl.load(x + index, mask=inside, other=0.0).to(tl.float32)
    tl.store(dx + index, (gradient * p + first + second * (value - m)).to(dx.dtype.element_ty), mask=inside)


def tile(channels: int) -> tuple[int, int]:
    """Positions and channels that a program holds at once."""
    columns = min(triton.next_power_of_2(channels), 64)
    return TILE // columns, columns


class FusedEnd(torch.autograd.Function):
    """``apply(x, shortcut, coefficients, *parameters)``: the block's output and its gates (N, C).

    ``x`` and ``shortcut`` are (N, C, H, W), channels last in memory. ``coefficients(mean, variance)`` gives scale,
    offset and gate, each (N, C); autograd differentiates it. The gates carry no gradient.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, shortcut: Tensor, coefficients: Coefficients, *parameters: Tensor) -> Any:
        n, c, h, w = x.shape
        x, shortcut = (t.contiguous(memory_format=torch.channels_last) for t in (x, shortcut.to(x.dtype)))
        mean, variance = (torch.empty((n, c), device=x.device) for _ in range(2))
        rows, columns = tile(c)
        pool_kernel[(n, triton.cdiv(c, columns))](x, mean, variance, h * w, c, rows, columns)
        with torch.enable_grad():
            scale, offset, gate = coefficients(mean.requires_grad_(), variance.requires_grad_())
        out = torch.empty_like(x)
        grid = (n, triton.cdiv(h * w, rows), triton.cdiv(c, columns))
        apply_kernel[grid](x, shortcut, mean, scale, offset, out, h * w, c, rows, columns)
        ctx.save_for_backward(x, out)
        ctx.integration = mean, variance, scale, offset, parameters
        gate = gate.detach()
        ctx.mark_non_differentiable(gate)
        ctx.set_materialize_grads(False)
        return out, gate

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
        x, out = ctx.saved_tensors
        mean, variance, scale, offset, parameters = ctx.integration
        n, c, h, w = x.shape
        dout = dout.contiguous(memory_format=torch.channels_last)
        rows, columns = tile(c)
        dz, dscale, doffset = torch.empty_like(x), torch.empty_like(mean), torch.empty_like(mean)
        reduce_kernel[(n, triton.cdiv(c, columns))](dout, out, x, mean, dz, dscale, doffset, h * w, c, rows, columns)
        dmean, dvariance, *dparameters = torch.autograd.grad(
            [scale, offset], [mean, variance, *parameters], [dscale, doffset]
        )
        a = (dmean - scale.detach() * doffset) / (h * w)
        b = dvariance * (2 / (h * w))
        dx = torch.empty_like(x)
        grid = (n, triton.cdiv(h * w, rows), triton.cdiv(c, columns))
        gradient_kernel[grid](dz, x, mean, scale, a, b, dx, h * w, c, rows, columns)
        return dx, dz, None, *dparameters


def normalise_and_recalibrate(
    x: Tensor, shortcut: Tensor, bn: nn.BatchNorm2d, recalibration: StyleRecalibration
) -> tuple[Tensor, Tensor]:
    """In training, ``relu(recalibration(bn(x), shortcut))`` and the gates; updates BatchNorm's running statistics."""
    positions = x.shape[2] * x.shape[3]
    unbias = positions / max(positions - recalibration.correction, 1)

    def coefficients(mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        batch_mean = mean.mean(dim=0)
        between = mean - batch_mean
        batch_variance = variance.mean(dim=0) + between.square().mean(dim=0)
        with torch.no_grad():
            count = x.shape[0] * positions
            assert bn.running_mean is not None
            assert bn.running_var is not None
            assert bn.momentum is not None
            bn.running_mean.lerp_(batch_mean, bn.momentum)
            bn.running_var.lerp_(batch_variance * (count / (count - 1)), bn.momentum)
        gain = bn.weight * torch.rsqrt(batch_variance + bn.eps)
        mu = between * gain + bn.bias
        sigma = torch.sqrt(variance * gain.square() * unbias + EPSILON)
        gate = recalibration.integrate(mu, sigma)
        return gain * gate, mu * gate, gate

    result: tuple[Tensor, Tensor] = FusedEnd.apply(
        x, shortcut, coefficients, bn.weight, bn.bias, *recalibration.parameters()
    )
    return result


class FusedBlock(Block):
    """A block whose end is :class:`FusedEnd`, for training alone."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.conv2(y)
        bn = self.bn2
        if self.bottleneck:
            y, bn = self.conv3(torch.relu(self.bn2(y))), self.bn3
        shortcut = x if self.downsample is None else self.downsample(x)
        assert isinstance(self.recalibration, StyleRecalibration)
        return normalise_and_recalibrate(y, shortcut, bn, self.recalibration)
