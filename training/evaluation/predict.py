"""Run a trained network on items for evaluation: without augmentation, in evaluation mode."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from models.card import InputSpec
from models.resnet import ResNet
from training.data.pipeline import PrepareBatch, cached, loader
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


@torch.inference_mode()
def predict(network: ResNet, items: Sequence[Item], facts: RunFacts, batch_size: int = 128) -> NetworkOutputs:
    """Return logits, gates and labels in the order of the items, computed on the device of the network.

    At most :data:`CHUNK` images are decoded and in memory at a time.
    """
    prepare, device = PrepareBatch(facts.normalisation), next(network.parameters()).device
    logits, gates, labels = [], [], []
    for batch in decoded(items, facts.input, batch_size):
        images, target = prepare(batch, device)
        explanation = network.explain(images)
        logits.append(explanation.logits.double().cpu().numpy())
        weights = list(explanation.recalibration_weights.values())
        gates.append(torch.cat(weights, dim=1).cpu().numpy() if weights else np.zeros((len(images), 0), np.float32))
        labels.append(target.cpu().numpy())
    return NetworkOutputs(np.concatenate(logits), np.concatenate(gates), np.concatenate(labels).astype(np.int64))


def decoded(items: Sequence[Item], spec: InputSpec, batch_size: int) -> Iterator[Any]:
    """Batches of the items in order. At most :data:`CHUNK` items are in memory at a time."""
    for start in range(0, len(items), CHUNK):
        yield from loader(cached(items[start : start + CHUNK], spec), batch_size)
