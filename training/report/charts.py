"""The report's figures: ROC and precision-recall curves, reliability, risk by coverage, training, gate profiles."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from models.card import Block
from training.evaluation.label_shift import ImageWeights
from training.evaluation.metrics import ECE_BINS, Labels, Probabilities
from training.evaluation.metrics import reliability as measured_bins
from training.evaluation.selective import Scores, cumulate
from training.report.history import Curve
from training.report.svg import GRID, INK, SERIES, SURFACE, colour, drawing, to_svg

MOST_CURVES = 10
"""Limit of classes in one figure. The page says so if there are more."""
MOST_CHANNELS = 128
"""Channels drawn of a block."""
FEWEST_ANSWERED = 10
"""Images from which a risk is drawn; that of fewer is mostly chance."""


def curves(probabilities: Probabilities, truth: NDArray[np.bool_], names: Sequence[str]) -> str:
    """ROC and precision-recall curves of the most frequent classes, each against the rest; ``truth`` is (N, K)."""
    shown = sorted(np.argsort(-truth.sum(axis=0), kind="stable")[:MOST_CURVES].tolist())
    with drawing():
        figure = Figure(figsize=(8.8, 3.7))
        roc, pr = figure.subplots(1, 2)
        for k in shown:
            ink, style = colour(k)
            false, recall, _ = roc_curve(truth[:, k], probabilities[:, k])
            roc.plot(false, recall, style, color=ink, label=names[k])
            precision, sensitivity, _ = precision_recall_curve(truth[:, k], probabilities[:, k])
            pr.plot(sensitivity, precision, style, color=ink)
            pr.axhline(truth[:, k].mean(), color=ink, linewidth=0.7, linestyle=(0, (1, 3)))
        roc.plot([0, 1], [0, 1], color=INK, linewidth=0.7, linestyle=(0, (1, 3)))
        square(roc, "1 - specificity", "Sensitivity", "ROC")
        square(pr, "Sensitivity (recall)", "Positive predictive value (precision)", "Precision and recall")
        figure.legend(loc="upper center", ncols=min(5, len(shown)), bbox_to_anchor=(0.5, -0.02))
        figure.subplots_adjust(left=0, right=1, wspace=0.12)
    text = f"ROC and precision-recall curves of {', '.join(names[k] for k in shown)}; their areas are in the table."
    return to_svg(figure, "curves", text)


def square(axes: Axes, x: str, y: str, title: str) -> None:
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel=x, ylabel=y, aspect="equal")
    axes.set_title(title)


def reliability(before: Probabilities, after: Probabilities, labels: Labels, weights: ImageWeights | None) -> str:
    """Accuracy by confidence in 15 bins, larger dots for a larger share, without and with the temperature."""
    with drawing():
        figure = Figure(figsize=(8.8, 4.3))
        grid = figure.subplots(2, 2, height_ratios=[4, 1], sharex=True)
        for column, (title, probabilities) in enumerate({"Before temperature": before, "After": after}.items()):
            bins = measured_bins(probabilities, labels, weights)
            mean, accuracy, share = (
                np.array([each[key] for each in bins]) for key in ("confidence", "accuracy", "share")
            )
            count = np.bincount(
                (probabilities.max(axis=1) * ECE_BINS).astype(int).clip(max=ECE_BINS - 1), minlength=ECE_BINS
            )
            upper, lower = grid[0, column], grid[1, column]
            upper.plot([0, 1], [0, 1], color=INK, linewidth=0.7, linestyle=(0, (1, 3)))
            upper.vlines(mean, np.minimum(mean, accuracy), np.maximum(mean, accuracy), color=GRID, linewidth=4)
            sizes = 12 + 90 * share / share.max()
            upper.scatter(mean, accuracy, sizes, color=SERIES[0], edgecolor=SURFACE, linewidth=0.8, zorder=3)
            upper.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="Accuracy" if column == 0 else "")
            upper.set_title(title)
            edges = np.arange(ECE_BINS) / ECE_BINS
            lower.bar(edges, count, 1 / ECE_BINS, align="edge", color=SERIES[0], edgecolor=SURFACE, linewidth=1)
            lower.set(xlabel="Confidence (probability of the most probable class)")
            lower.set(ylabel="Images" if column == 0 else "")
        figure.subplots_adjust(left=0, right=1, wspace=0.16, hspace=0.12)
    text = "Reliability diagrams before and after temperature scaling; the calibration errors are in the table."
    return to_svg(figure, "reliability", text)


def risk_coverage(scores: Mapping[str, Scores], right: NDArray[np.bool_]) -> str:
    """The part of wrong answers by the part of answered images, a curve for each rejection score (N,)."""
    with drawing():
        figure = Figure(figsize=(5.6, 3.4))
        axes = figure.subplots()
        for index, (name, each) in enumerate(scores.items()):
            images, mistakes = (part[0] for part in cumulate(each, right, np.ones((1, len(right)))))
            shown = images >= min(FEWEST_ANSWERED, len(right))
            axes.plot(images[shown] / len(right), (mistakes / images)[shown], color=SERIES[index], label=name)
        axes.set(xlim=(0, 1.01), ylim=(0, None), xlabel="Coverage: answered images", ylabel="Risk: wrong answers")
        figure.legend(loc="upper center", ncols=len(scores), bbox_to_anchor=(0.5, -0.02))
        figure.subplots_adjust(left=0, right=1)
    text = f"Risk by coverage when images are rejected by {', '.join(scores)}; the accuracies are in the table."
    return to_svg(figure, "selective", text)


def training_curves(loss: Curve | None, validation: Mapping[str, Curve], chosen: str) -> str:
    """Training loss by step; on validation by epoch, the figure that the recipe chooses by and the likelihood."""
    panels = [name for name in dict.fromkeys([chosen, "nll"]) if name in validation]
    with drawing():
        figure = Figure(figsize=(8.8, 2.6))
        axes = np.atleast_1d(figure.subplots(1, 1 + len(panels)))
        if loss is not None:
            axes[0].plot(loss.steps, loss.values, color=SERIES[0], linewidth=0.5, alpha=0.4)
            axes[0].plot(loss.steps, smooth(loss.values), color=SERIES[0])
        axes[0].set_title("Training loss")
        axes[0].set(xlabel="Step")
        for panel, name in zip(axes[1:], panels, strict=True):
            curve = validation[name]
            panel.plot(curve.steps, curve.values, color=SERIES[1])
            panel.set_title(f"Validation {name.replace('_', ' ')}")
            panel.set(xlabel="Epoch")
        figure.subplots_adjust(left=0, right=1, wspace=0.2)
    ends = [f"{name} ends at {validation[name].values[-1]:.3f}" for name in panels]
    return to_svg(figure, "training", "Training loss by step, and on validation by epoch: " + ", ".join(ends) + ".")


def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Moving average over a fortieth of the curve. At the ends it uses fewer points."""
    width = max(1, len(values) // 40)
    kernel = np.ones(width)
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")


def gate_profiles(means: NDArray[np.float32], blocks: Sequence[Block], names: Sequence[str]) -> str:
    """The mean gate of each channel by class, block after block.

    Channels stand in the order of their loading on the first principal component of the classes' means: those that
    one group of classes opens are on one side, those that it closes on the other.
    """
    columns = min(4, len(blocks))
    rows = -(-len(blocks) // columns)
    with drawing():
        figure = Figure(figsize=(8.8, 0.5 + 1.7 * rows))
        grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
        for axes, block in zip(grid.flat, blocks, strict=False):
            gates = means[:, block.offset : block.offset + block.channels]
            order = np.argsort(np.linalg.svd(gates - gates.mean(axis=0), full_matrices=False)[2][0], kind="stable")
            shown = order[np.unique(np.linspace(0, len(order) - 1, MOST_CHANNELS).round().astype(int))]
            for k in range(min(len(names), MOST_CURVES)):
                ink, style = colour(k)
                axes.plot(gates[k, shown], style, color=ink, linewidth=0.9, label=names[k])
            spread = float((gates.max(axis=0) - gates.min(axis=0)).mean())
            axes.set_title(f"{block.name}  \N{GREEK CAPITAL LETTER DELTA} {spread:.3f}")
            axes.set(xticks=[], ylim=(0, 1))
            axes.set_xlabel(f"{block.channels} channels")
        for axes in grid.flat[len(blocks) :]:
            axes.set_axis_off()
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="upper center", ncols=min(5, len(labels)), bbox_to_anchor=(0.5, 0.0))
        figure.subplots_adjust(left=0, right=1, hspace=0.55, wspace=0.1)
    return to_svg(figure, "gates", f"Mean gate of each channel for each class, in {len(blocks)} blocks.")
