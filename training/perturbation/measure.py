"""The figures of a model on the changed images of a split, beside the unchanged ones."""

import io
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.card import InputSpec
from models.cpu import usable_cpus
from models.preprocessing import ImageError, decode, preprocess
from training.data.decoding import network_input
from training.datasets import Item
from training.datasets.base import labels_of
from training.errors import TrainingError
from training.evaluation import multilabel
from training.evaluation.bootstrap import (
    METHOD,
    TOO_FEW,
    Values,
    Weights,
    chunks,
    decisions,
    ranked,
    resample,
    with_intervals,
)
from training.evaluation.metrics import METRICS, Probabilities
from training.perturbation.changes import CHANGES, MEANINGS, Change

BATCH = 32
OWN_RESOLUTION = 2**15
"""No JPEG is decoded at a reduced scale for an input of this side."""
ANY_SIZE = 2**40
"""A frame may make a picture larger than the limit for pictures that are sent."""

Pixels = NDArray[np.uint8]


class Answers(NamedTuple):
    """What a model says of N images."""

    probabilities: Probabilities
    """(N, K), calibrated"""
    style_shift: NDArray[np.float64]
    """(N,)"""


Model = Callable[[Pixels], Answers]
"""From a batch of preprocessed images (N, H, W, C)."""


def measure(
    model: Model,
    items: Sequence[Item],
    spec: InputSpec,
    usual_up_to: float,
    *,
    resamples: int,
    changes: Mapping[str, Change] = CHANGES,
    advance: Callable[[int], None] = lambda _: None,
) -> dict[str, Any]:
    """Figures, differences to the unchanged images with paired intervals, and the share flagged, as
    :class:`training.perturbation.figures.Perturbations` holds them; the largest loss first.
    """
    labels = labels_of(items)
    groups = [item.group for item in items]
    patients = len(set(groups))
    unit = "patients" if patients < len(items) else "images"
    weights = draw(groups, labels, resamples)
    unchanged, *changed = answer(model, items, spec, list(changes.values()), advance)
    before, drawn_before = figures(unchanged, labels, usual_up_to, weights)
    main = "macro_auc" if labels.ndim == 2 else "balanced_accuracy"
    rows = []
    for name, answers in zip(changes, changed, strict=True):
        values, drawn = figures(answers, labels, usual_up_to, weights)
        loss = {figure: value - before[figure] for figure, value in values.items() if figure != "flagged"}
        paired = {figure: drawn[figure] - drawn_before[figure] for figure in loss} if drawn else {}
        rows.append(
            {"name": name, "meaning": MEANINGS.get(name, name), "differences": with_intervals(loss, paired)}
            | parts(values, drawn)
        )
    return {
        "images": len(items),
        "patients": patients if unit == "patients" else None,
        "interval_method": TOO_FEW if weights is None else METHOD.format(unit=unit, resamples=resamples),
        "sorted_by": main,
        "unchanged": parts(before, drawn_before),
        "changes": sorted(rows, key=lambda row: row["differences"][main]["value"]),
    }


def parts(values: Mapping[str, float], drawn: Values) -> dict[str, Any]:
    found = with_intervals(values, drawn)
    return {"flagged": found.pop("flagged"), "metrics": found}


def draw(groups: Sequence[str], labels: NDArray[np.int64], resamples: int) -> Weights | None:
    """Resamples of whole patients that hold every class, or each of several labels on some images and not on all."""
    if labels.ndim == 1:
        return resample(groups, labels, resamples=resamples)
    drawn = resample(groups, np.zeros(len(labels), np.int64), resamples=2 * resamples)
    assert drawn is not None
    complete = drawn[((drawn @ labels > 0) & (drawn @ (1 - labels) > 0)).all(axis=1)][:resamples]
    return complete if len(complete) == resamples else None


def figures(
    answers: Answers, labels: NDArray[np.int64], usual_up_to: float, weights: Weights | None
) -> tuple[dict[str, float], Values]:
    """The figures on all images, and in each resample (R,); nothing there without resamples."""
    probabilities, flagged = answers.probabilities, (answers.style_shift > usual_up_to).astype(np.float64)
    values = {"flagged": float(flagged.mean())}
    if labels.ndim == 2:
        values["macro_auc"] = multilabel.macro_auc(probabilities, labels)
    else:
        values |= {
            name: METRICS[name](probabilities, labels) for name in ("accuracy", "balanced_accuracy", "macro_auc")
        }
    if weights is None:
        return values, {}
    drawn = {"flagged": weights @ flagged / weights.sum(axis=1)}
    drawn["macro_auc"] = np.concatenate([macro_auc(probabilities, labels, weights[rows]) for rows in chunks(weights)])
    if labels.ndim == 1:
        of_decisions = decisions(probabilities, labels, weights)
        drawn |= {name: of_decisions[name] for name in ("accuracy", "balanced_accuracy")}
    return values, drawn


def macro_auc(probabilities: Probabilities, labels: NDArray[np.int64], weights: Weights) -> NDArray[np.float64]:
    if labels.ndim == 1:
        return np.asarray(ranked(probabilities, labels, weights)["auc"].mean(axis=1))
    columns = range(labels.shape[1])  # `ranked` takes class 0 for the positive one of a single column
    by_label = [ranked(probabilities[:, [k]], 1 - labels[:, k], weights)["auc"][:, 0] for k in columns]
    return np.asarray(np.mean(by_label, axis=0))


def answer(
    model: Model, items: Sequence[Item], spec: InputSpec, changes: Sequence[Change], advance: Callable[[int], None]
) -> list[Answers]:
    """The model's answers on the unchanged images, and on those of each change; every file is decoded once for all."""
    found: list[list[Answers]] = [[] for _ in range(len(changes) + 1)]

    def versions(index: int) -> list[Pixels]:
        item = items[index]
        try:
            return [network_input(item.image, spec), *changed(item, index, spec, changes)]
        except (ImageError, OSError) as error:
            raise TrainingError(f"{item.id} can't be read: {error}") from None

    with ThreadPoolExecutor(usable_cpus()) as pool:
        for start in range(0, len(items), BATCH):
            batch = range(start, min(start + BATCH, len(items)))
            for answers, pixels in zip(found, zip(*pool.map(versions, batch), strict=True), strict=True):
                answers.append(model(np.stack(pixels)))
            advance(len(batch))
    return [Answers(*map(np.concatenate, zip(*answers, strict=True))) for answers in found]


def changed(item: Item, index: int, spec: InputSpec, changes: Sequence[Change]) -> list[Pixels]:
    """The picture after each change, sent through the whole preprocessing as a file without loss."""
    picture = picture_of(item.image, spec)
    found = []
    for place, change in enumerate(changes):
        file = io.BytesIO()
        change(picture, np.random.default_rng((index, place))).save(file, "BMP")
        found.append(preprocess(file.getvalue(), spec, ANY_SIZE).pixels)
    return found


def picture_of(image: Path | Pixels, spec: InputSpec) -> Image.Image:
    """The picture at its own resolution, L or RGB."""
    if isinstance(image, Path):
        whole = spec.model_copy(update={"height": OWN_RESOLUTION, "width": OWN_RESOLUTION})
        return decode(image.read_bytes(), whole).image
    return Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
