"""Quantise a package's graph: leave in float32 what hurts, and refuse it if the answers still change too much."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.card import InputSpec, StyleReference
from models.verification import Quantisation
from training.data.pipeline import IMAGE, MEASURED, spread
from training.datasets import DataSet, Item
from training.datasets.base import labels_of
from training.errors import TrainingError
from training.evaluation.predict import decoded
from training.packaging.int8.differences import answers, described, differences, error, open_graph
from training.packaging.int8.quantiser import METHOD, Quantiser, batches

CALIBRATION = 256
"""Training images that give the ranges."""
RANKED_ON = 64
"""Other training images, by which the convolutions are ranked."""
LEFT_IN_FLOAT = (0, 1, 2, 4, 8)
"""Convolutions that each round leaves in float32."""


def quantise(graph: Path, data: DataSet, spec: InputSpec, style: StyleReference | None) -> Quantisation:
    """Replace a float32 graph by one with 8-bit convolutions, and return what that changed.

    All convolutions are tried first. While the answers on the validation split differ by more than the limits, the next
    round leaves more of the worst in float32. A convolution is the worse the more the answers to training images change
    when it alone is in 8 bits.

    Raises:
        TrainingError: if no round keeps the limits. The file is then as it was.
    """
    calibration, others = training_images(data)
    validation = spread(data.splits["val"], MEASURED)
    quantiser = Quantiser(graph, np.concatenate(list(images(calibration, spec))))
    names, worst = list(quantiser.nodes), list[str]()
    before = answers(open_graph(graph), images(validation, spec))
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "int8.onnx"
        for count in [count for count in LEFT_IN_FLOAT if count < len(names)]:
            if count and not worst:
                worst = ranked(quantiser, draft, np.concatenate(list(images(others, spec))))
            left = worst[:count]
            chosen = [name for name in names if name not in left]
            quantiser.write(draft, chosen)
            after = answers(open_graph(draft), images(validation, spec))
            found = differences(before, after, labels_of(validation), style)
            if all(each.accepted for each in found):
                graph.write_bytes(draft.read_bytes())
                return Quantisation(
                    method=METHOD,
                    calibration_images=len(calibration),
                    convolutions=chosen,
                    left_in_float=left,
                    validation_images=len(validation),
                    differences=found,
                )
    raise TrainingError(
        f"INT8 refused, no package was written. On {len(validation)} validation images: {described(found)}. Left in "
        f"float32: {', '.join(left) or 'no convolution'}. Export without --precision int8"
    )


def training_images(data: DataSet) -> tuple[list[Item], list[Item]]:
    """Images for the ranges, and others for the ranking, both spread over the training split."""
    training = spread(data.splits["train"], 2 * CALIBRATION)
    return training[::2], spread(training[1::2], RANKED_ON)


def ranked(quantiser: Quantiser, draft: Path, seen: NDArray[np.uint8]) -> list[str]:
    """The convolutions, the worst first by the answers to these images (N, H, W, C)."""
    expected, errors = answers(open_graph(quantiser.graph), batches(seen)), {}
    for name in quantiser.nodes:
        quantiser.write(draft, [name])
        errors[name] = error(expected, answers(open_graph(draft), batches(seen)))
    return sorted(errors, key=lambda name: -errors[name])


def images(items: Sequence[Item], spec: InputSpec) -> Iterator[NDArray[np.uint8]]:
    """Batches (n, H, W, C) of the items, in order."""
    for batch in decoded(items, spec):
        yield from batches(torch.as_tensor(batch[IMAGE]).permute(0, 2, 3, 1).contiguous().numpy())
