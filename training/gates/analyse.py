"""Analyse the gates of a run, as the SRM paper compares SRM with SE: are channels correlated, and which ones matter.

Lee, Kim, Nam, ICCV 2019, in its comparison of the two: the correlation between channels' gates, and the accuracy as
channels with low gates are pruned. Beside them: which channels tell the classes apart, and the images at both ends.
"""

import json
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from models.fold import fold
from training.data.pipeline import cached
from training.datasets import DataSet, Item
from training.datasets.base import labels_of
from training.device import choose_device
from training.errors import TrainingError
from training.evaluation.calibration import Calibrator
from training.evaluation.evaluate import calibrate, log_opening, read_same_data
from training.evaluation.kept import has_label
from training.evaluation.metrics import metric_of
from training.evaluation.predict import predict
from training.files import replace_text
from training.gates.examined import Examined
from training.gates.page import write_page
from training.gates.pruning import FRACTIONS, Pruning
from training.gates.statistics import class_means, correlation, extremes, separation
from training.packaging.compose_card import blocks_of
from training.run import Run, source_commit

Split = Literal["val", "test"]
BLOCK_FRACTIONS = (0.3, 0.6, 0.9)
PRUNING_FIGURES = {"multi-label": ("macro_f1", "macro_auc")}
"""Figures by task. For the other tasks ``accuracy`` and ``balanced_accuracy``."""
PRUNED_IMAGES = 2000
"""Limit of images for pruning. Of a larger split, a random part is used."""
CHANNELS, OF_A_BLOCK, IMAGES = 6, 2, 5
"""How many class-separating channels are shown, how many of one block at most, and images at each end."""


def analyse(
    run: Run,
    split: Split = "val",
    *,
    against: Run | None = None,
    images: bool = True,
    report: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Examine the gates of a run, and of another beside it; ``analysis.json`` and ``analysis.html`` go into the first.

    Args:
        run: with SRM, SE or GE.
        split: the split to use. Opening the test split is logged in the folder of each run.
        against: another run on the same data.
        images: whether the page contains images. Their licence may forbid sharing.
        report: takes a line of progress.

    Raises:
        TrainingError: for a run without gates, or two runs on different data.
    """
    runs = [run] if against is None else [run, against]
    for each in runs:
        if each.recipe().network.recalibration == "none":
            raise TrainingError(
                f"{each.folder} has no gates to analyse: it was trained with network.recalibration=none"
            )
    data = [read_same_data(each) for each in runs]
    ids = [[item.id for item in each.splits[split]] for each in data]
    if data[0].md5 != data[-1].md5 or ids[0] != ids[-1] or data[0].labels != data[-1].labels:
        raise TrainingError(
            f"{runs[0].folder} and {runs[-1].folder} were trained on different data or splits: their gates can only be "
            "compared on the same images"
        )
    examined = [examine(each, own, split, report) for each, own in zip(runs, data, strict=True)]
    items = data[0].splits[split]
    channels = telling_channels(examined[0])
    content = {
        "data": data[0].name,
        "md5": data[0].md5,
        "split": split,
        "images": len(items),
        "patients": len({item.group for item in items}),
        "labels": data[0].labels,
        "runs": [described(each) for each in examined],
        "channels": [
            {key: value for key, value in channel.items() if key not in ("highest", "lowest")}
            | {end: [items[row].id for row in channel[end]] for end in ("highest", "lowest")}
            for channel in channels
        ],
        "source_commit": source_commit(),
    }
    replace_text(run.folder / "analysis.json", json.dumps(content, indent=2) + "\n")
    write_page(run.folder / "analysis.html", content, examined, channels, items if images else None)
    return content


def examine(run: Run, data: DataSet, split: Split, report: Callable[[str], None]) -> Examined:
    """Measure one run's gates on a split."""
    recipe, facts = run.recipe(), run.facts()
    network = run.network(recipe.checkpoint).to(choose_device(recipe.device))
    report(f"{run.folder}: gates of the {split} split")
    validation = predict(network, data.splits["val"], facts)
    if split == "test":
        log_opening(run, data)
    items = data.splits[split]
    outputs = validation if split == "val" else predict(network, items, facts)
    truth = has_label(outputs.labels, len(data.labels))
    blocks = blocks_of(network)
    part = {block.name: outputs.gates[:, block.offset : block.offset + block.channels] for block in blocks}
    return Examined(
        run,
        recipe.network.recalibration,
        data.labels,
        blocks,
        outputs,
        {name: correlation(gates) for name, gates in part.items()},
        separation(outputs.gates, truth, [item.group for item in items]),
        class_means(outputs.gates, truth),
        prune(Pruning(fold(network)), calibrate(recipe, data, validation), run, items, report),
    )


def prune(
    pruning: Pruning, calibrator: Calibrator, run: Run, items: list[Item], report: Callable[[str], None]
) -> dict[str, Any]:
    """Accuracy with part of the channels pruned: in all blocks by gate and at random, and in each block alone."""
    if len(items) > PRUNED_IMAGES:
        chosen = np.random.default_rng(0).choice(len(items), PRUNED_IMAGES, replace=False)
        items = [items[row] for row in sorted(chosen)]
    facts, task = run.facts(), run.recipe().task
    measured = PRUNING_FIGURES.get(task, ("accuracy", "balanced_accuracy"))
    images, labels = cached(items, facts.input), labels_of(items)

    def figures(names: list[str], fraction: float, order: Literal["lowest", "random"] = "lowest") -> dict[str, float]:
        logits = pruning.logits(images, facts, blocks=names, fraction=fraction, order=order)
        probabilities = calibrator(logits)
        return {"fraction": fraction} | {name: metric_of(task, name)(probabilities, labels) for name in measured}

    everywhere = list(pruning.modules)
    report(f"{run.folder}: pruning all blocks, by the lowest gates and at random")
    lowest = [figures(everywhere, fraction) for fraction in FRACTIONS]
    chance = [lowest[0], *(figures(everywhere, fraction, "random") for fraction in FRACTIONS[1:])]
    report(f"{run.folder}: pruning each of {len(everywhere)} blocks alone")
    alone = {name: [lowest[0], *(figures([name], fraction) for fraction in BLOCK_FRACTIONS)] for name in everywhere}
    return {"images": len(items), "figures": measured, "lowest": lowest, "random": chance, "blocks": alone}


def telling_channels(examined: Examined) -> list[dict[str, Any]]:
    """The channels that tell the classes apart best, with the rows of the images at both ends."""
    found: list[dict[str, Any]] = []
    eta, gates = examined.separation.eta_squared, examined.outputs.gates
    for index in np.argsort(-eta, kind="stable").tolist():
        block = next(b for b in examined.blocks if b.offset <= index < b.offset + b.channels)
        if sum(channel["block"] == block.name for channel in found) == OF_A_BLOCK:
            continue
        highest, lowest = extremes(gates, index, IMAGES)
        found.append(
            {
                "block": block.name,
                "channel": index - block.offset,
                "eta_squared": float(eta[index]),
                "f": float(examined.separation.f[index]),
                "above_floor": bool(eta[index] > examined.separation.floor),
                "class_means": examined.means[:, index].tolist(),
                "highest": highest,
                "lowest": lowest,
                "gates": {"highest": gates[highest, index].tolist(), "lowest": gates[lowest, index].tolist()},
            }
        )
        if len(found) == CHANNELS:
            break
    return found


def described(examined: Examined) -> dict[str, Any]:
    """A run's findings, ready for JSON."""
    separated, blocks = examined.separation, []
    for block in examined.blocks:
        part = slice(block.offset, block.offset + block.channels)
        together, eta = examined.correlations[block.name], separated.eta_squared[part]
        blocks.append(
            {
                "name": block.name,
                "channels": block.channels,
                "spread": float(examined.outputs.gates[:, part].std(axis=0, dtype=np.float64).mean()),
                "mean_gate": float(examined.outputs.gates[:, part].mean(dtype=np.float64)),
                "correlation": {key: value for key, value in together._asdict().items() if key != "matrix"},
                "mean_eta_squared": float(eta.mean()),
                "largest_eta_squared": float(eta.max()),
                "channels_above_floor": int((eta > separated.floor).sum()),
                "class_means": examined.means[:, part].tolist(),
            }
        )
    means = [c.mean_absolute for c in examined.correlations.values() if c.mean_absolute is not None]
    return {
        "run": str(examined.run.folder),
        "recalibration": examined.recalibration,
        "seed": examined.run.recipe().seed,
        "mean_absolute_correlation": float(np.mean(means)) if means else None,
        "eta_squared_floor": separated.floor,
        "rows_of_separation": separated.rows,
        "blocks": blocks,
        "pruning": examined.pruning,
    }
