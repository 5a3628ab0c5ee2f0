"""Figures of a network when the channels with the lowest gates of each image are pruned."""

import copy
from collections.abc import Iterable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.recalibration import Recalibration
from models.resnet import ResNet
from training.data.pipeline import Images, PrepareBatch, evaluation_batch, loader
from training.run import RunFacts

Order = Literal["lowest", "random"]
FRACTIONS = tuple(step / 10 for step in range(10))


class PrunedRecalibration(Recalibration):
    """A trained recalibration that also closes a part of the gates (N, C) of each image.

    ``lowest`` closes the lowest gates of each image. ``random`` closes as many, drawn for each image: the cost of
    pruning without the choice by gates.
    """

    def __init__(self, trained: Recalibration) -> None:
        super().__init__()
        self.trained = trained
        self.fraction = 0.0
        self.order: Order = "lowest"
        self.generator = torch.Generator()

    def gate(self, x: Tensor) -> Tensor:
        gate = self.trained.gate(x)
        count = round(self.fraction * gate.shape[1])
        chance = torch.rand(gate.shape, generator=self.generator).to(gate.device)
        rank = gate if self.order == "lowest" else chance
        return gate.scatter(1, rank.argsort(dim=1, stable=True)[:, :count], 0.0)


class Pruning:
    """A copy of a network whose channels can be pruned. The network itself is not changed.

    Raises:
        ValueError: for a network without recalibration.
    """

    def __init__(self, network: ResNet) -> None:
        self.network = copy.deepcopy(network).eval()
        self.modules: dict[str, PrunedRecalibration] = {}
        for name, block in self.network.blocks().items():
            if block.recalibration is None:
                raise ValueError("a network without recalibration has no gates to prune by")
            assert isinstance(block.recalibration, Recalibration)
            block.recalibration = self.modules[name] = PrunedRecalibration(block.recalibration)

    @torch.inference_mode()
    def logits(
        self,
        images: Images,
        facts: RunFacts,
        *,
        blocks: Iterable[str],
        fraction: float,
        order: Order = "lowest",
    ) -> NDArray[np.float64]:
        """Return logits (N, K) with a fraction of the channels of the named blocks pruned in every image."""
        chosen = set(blocks)
        for name, module in self.modules.items():
            module.fraction = fraction if name in chosen else 0.0
            module.order = order
            module.generator.manual_seed(0)
        prepare, device = PrepareBatch(facts.normalisation), next(self.network.parameters()).device
        at_once = evaluation_batch(facts.input.height, facts.input.width)
        batches = (prepare(batch, device)[0] for batch in loader(images, at_once))
        return np.concatenate([self.network(batch).double().cpu().numpy() for batch in batches])
