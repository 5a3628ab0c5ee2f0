"""Figures of several runs side by side: mean and spread over the seeds of each kind of network."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from training.errors import TrainingError
from training.run import Run


class Row(NamedTuple):
    """One data set and kind of network."""

    data: str
    recalibration: str
    seeds: list[int]
    mean: dict[str, float]
    """Figure to its mean over the seeds."""
    spread: dict[str, float]
    """Figure to its standard deviation over the seeds (n - 1); NaN for a single seed."""


def summarise(folders: Sequence[Path], split: str) -> list[Row]:
    """Group finished runs by data set and recalibration.

    Raises:
        TrainingError: for a folder without figures on the split, or two runs of one seed in a group.
    """
    groups: dict[tuple[str, str], list[dict]] = defaultdict(list)
    for folder in folders:
        run = Run.open(folder)
        report = run.metrics().get(split)
        if report is None:
            raise TrainingError(
                f"{folder} has no figures on the {split} split: run `python -m training evaluate` first"
            )
        groups[report["data"], run.recipe().network.recalibration].append(report)
    rows = []
    for (data, recalibration), reports in groups.items():
        seeds = sorted(report["seed"] for report in reports)
        if len(set(seeds)) < len(seeds):
            raise TrainingError(f"{data}, {recalibration}: two runs have the same seed: {seeds}")
        values = {
            name: np.array([report["metrics"][name]["value"] for report in reports]) for name in reports[0]["metrics"]
        }
        mean = {name: float(figures.mean()) for name, figures in values.items()}
        spread = {
            name: float(figures.std(ddof=1)) if len(seeds) > 1 else float("nan") for name, figures in values.items()
        }
        rows.append(Row(data, recalibration, seeds, mean, spread))
    return rows
