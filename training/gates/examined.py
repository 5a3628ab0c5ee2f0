"""The results of the analysis of gates, before they are written."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.card import Block
from training.evaluation.predict import NetworkOutputs
from training.gates.statistics import Correlation, Separation
from training.run import Run


@dataclass(frozen=True)
class Examined:
    """The results of one run."""

    run: Run
    recalibration: str
    labels: list[str]
    blocks: list[Block]
    outputs: NetworkOutputs
    correlations: dict[str, Correlation]
    """Block name to the correlation between its channels."""
    separation: Separation
    means: NDArray[np.float32]
    """(K, gates), the mean gate of each class"""
    pruning: dict[str, Any]
