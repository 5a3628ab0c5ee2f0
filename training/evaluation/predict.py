"""Run a trained network on items for evaluation: without augmentation, in evaluation mode."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from models.card import InputSpec
from models.resnet import ResNet
from models.style_shift import StyleShift, styles_of
from training.data.pipeline import IMAGE, PrepareBatch, cached, evaluation_batch, loader
from training.datasets import Item
from training.run import RunFacts

CHUNK = 8192


class NetworkOutputs(NamedTuple):
    """The outputs of the network for N images."""

    logits: NDArray[np.float64]
    """(N, K)"""
    gates: NDArray[np.float32]
    """(N, all gates)"""
    labels: NDArray[np.int64]
    """(N,); (N, K) of a multi-label task"""
    style_shift: NDArray[np.float64] | None = None
    """(N,); None where it was not asked for"""


@torch.inference_mode()
def predict(
    network: ResNet,
    items: Sequence[Item],
    facts: RunFacts,
    style_shift: StyleShift | None = None,
) -> NetworkOutputs:
    """Return logits, gates and labels in the order of the items, computed on the device of the network.

    A module ``style_shift``, on the CPU, adds the images' shift.
    """
    prepare, device = PrepareBatch(facts.normalisation), next(network.parameters()).device
    logits, gates, labels, shifts = [], [], [], []
    for batch in decoded(items, facts.input):
        images, target = prepare(batch, device)
        explanation = network.explain(images)
        logits.append(explanation.logits.double().cpu().numpy())
        weights = list(explanation.recalibration_weights.values())
        gates.append(torch.cat(weights, dim=1).cpu().numpy() if weights else np.zeros((len(images), 0), np.float32))
        labels.append(target.cpu().numpy())
        if style_shift is not None:
            styles = styles_of(batch[IMAGE].to(device).float(), explanation)
            shifts.append(style_shift([style.cpu() for style in styles])[0].double().numpy())
    return NetworkOutputs(
        np.concatenate(logits),
        np.concatenate(gates),
        np.concatenate(labels).astype(np.int64),
        np.concatenate(shifts) if shifts else None,
    )


def decoded(items: Sequence[Item], spec: InputSpec) -> Iterator[Any]:
    """Batches of the items in order. Where the disk can't keep them, at most :data:`CHUNK` are in memory at a time."""
    batch_size = evaluation_batch(spec.height, spec.width)
    for start in range(0, len(items), CHUNK):
        yield from loader(cached(items[start : start + CHUNK], spec), batch_size)
