"""The training curves of a run, from its TensorBoard log."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

TRAINING_LOSS = "train/loss"


class Curve(NamedTuple):
    """A figure along the training."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]


def read_history(folder: Path) -> dict[str, Curve]:
    """Return every scalar of a TensorBoard folder by its tag. Empty if there is no log.

    A resumed run has several files. If a step is logged twice, the last value counts.
    """
    if not folder.is_dir():
        return {}
    log = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    curves = {}
    for tag in log.Tags()["scalars"]:
        by_step = {event.step: event.value for event in log.Scalars(tag)}
        steps = np.array(sorted(by_step))
        curves[tag] = Curve(steps, np.array([by_step[step] for step in steps.tolist()]))
    return curves
