"""Fit the reference densities of a network's styles, and the thresholds of the verdict."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf
from torch import Tensor

from models.card import InputSpec, StyleReference
from models.resnet import ResNet
from models.style_shift import INPUT_BLOCK, Density, StyleShift, styles_of
from training.data.pipeline import IMAGE, MEASURED, Normalisation, PrepareBatch, spread
from training.datasets import DataSet, Item
from training.evaluation.predict import decoded
from training.run import RunFacts

NARROW = 128
"""Styles of up to this many values get a full covariance; wider ones one of low rank with a residual."""
RANK = 48
"""Directions of a wide block at most, so that a package of a ResNet-152 grows by less than a tenth."""
SMALLEST_VARIANCE = 1e-3
"""Least variance of a standardised style along a direction: what never varied in training is no infinite distance."""
QUANTILES = 101
USUAL, TAIL_FROM, UNLIKE = 0.95, 0.90, 1e-3
RULE = (
    "usual up to the 95th percentile of the validation images; unlike beyond the largest of them and beyond the point "
    "that one usual image in 1,000 passes, by an exponential tail fitted above their 90th percentile by its median"
)
METHOD = (
    "Mahalanobis distance of the channels' means and log deviations at every block, and of the image's own. "
    "Covariance: Ledoit-Wolf up to 128 values, beyond that probabilistic PCA of at most 48 directions. Log distances "
    "are standardised on validation images. The largest of the blocks counts."
)


class FittedShift(NamedTuple):
    """The module that computes the shift, and what the card says of it."""

    module: StyleShift
    reference: StyleReference


def fit_reference(network: ResNet, data: DataSet, facts: RunFacts) -> FittedShift:
    """The style shift of a run's network, fitted on at most ``MEASURED`` of its training and validation images each."""
    train, validation = (
        measure_styles(network, spread(data.splits[split], MEASURED), facts.normalisation, facts.input)
        for split in ("train", "val")
    )
    return fit_style_shift(list(block_names(network)), train, validation)


def fit_style_shift(
    blocks: Sequence[str], train: Sequence[NDArray[np.float64]], validation: Sequence[NDArray[np.float64]]
) -> FittedShift:
    """Fit densities on the styles of training images (N, D_b), one array a block, and thresholds on validation's."""
    densities = [fit_density(styles) for styles in train]
    count = len(densities)
    unscaled = StyleShift(densities, torch.zeros(count), torch.ones(count))
    with torch.inference_mode():
        tensors = [torch.from_numpy(styles).float() for styles in validation]
        logs = unscaled.log_distances(tensors)
        module = StyleShift(densities, logs.mean(dim=0), logs.std(dim=0).clamp(min=1e-3))
        shift = module(tensors)[0].double().numpy()
    quantiles = np.quantile(shift, np.linspace(0, 1, QUANTILES))
    reference = StyleReference(
        method=METHOD,
        blocks=list(blocks),
        training_images=len(train[0]),
        validation_images=len(validation[0]),
        validation_quantiles=[float(value) for value in np.maximum.accumulate(quantiles)],
        usual_up_to=float(np.quantile(shift, USUAL)),
        unlike_beyond=unlike_threshold(shift),
        rule=RULE,
    )
    return FittedShift(module.eval(), reference)


def unlike_threshold(shift: NDArray[np.float64]) -> float:
    """The point beyond which an image is unlike all that was seen (``RULE``)."""
    start = float(np.quantile(shift, TAIL_FROM))
    above = shift[shift > start] - start
    scale = float(np.median(above)) / np.log(2) if len(above) else 0.0
    return max(float(shift.max()), start + scale * float(np.log((1 - TAIL_FROM) / UNLIKE)))


def fit_density(styles: NDArray[np.float64]) -> Density:
    """The density of one block's styles (N, D) in training.

    Narrow ones by Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004; wide
    ones by Tipping and Bishop, "Probabilistic principal component analysis", 1999, with as many directions as hold 95 %
    of the variance, at most ``RANK``.
    """
    centre, scale = styles.mean(axis=0), styles.std(axis=0)
    scale = np.where(scale > 1e-6, scale, 1.0)
    z = (styles - centre) / scale
    values = z.shape[1]
    if values <= NARROW:
        variances, directions = np.linalg.eigh(LedoitWolf(assume_centered=True).fit(z).covariance_)
        weights, residual = 1 / np.maximum(variances, SMALLEST_VARIANCE), 0.0
    else:
        _, singular, rows = np.linalg.svd(z, full_matrices=False)
        variances = singular**2 / len(z)
        held = np.cumsum(variances) / variances.sum()
        rank = min(int(np.searchsorted(held, 0.95)) + 1, RANK, len(variances) - 1)
        rest = max(float((variances.sum() - variances[:rank].sum()) / (values - rank)), SMALLEST_VARIANCE)
        directions, residual = rows[:rank].T, 1 / rest
        weights = 1 / np.maximum(variances[:rank], rest) - residual
    return Density(tensor(centre), tensor(scale), tensor(directions), tensor(weights), residual)


def tensor(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))


@torch.inference_mode()
def measure_styles(
    network: ResNet, items: Sequence[Item], normalisation: Normalisation, spec: InputSpec
) -> list[NDArray[np.float64]]:
    """The styles of the items' images, (N, D_b) for each block, the image's own first; in the items' order."""
    prepare, device = PrepareBatch(normalisation), next(network.parameters()).device
    found: list[list[NDArray[np.float64]]] = []
    for batch in decoded(items, spec):
        images, _ = prepare(batch, device)
        styles = styles_of(batch[IMAGE].to(device).float(), network.explain(images))
        found.append([style.double().cpu().numpy() for style in styles])
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


def block_names(network: ResNet) -> Iterator[str]:
    """The names of the columns of ``style_shift_by_block``."""
    yield INPUT_BLOCK
    yield from network.blocks()
