"""Which prediction sets to make, and what fitting the temperature on the same images costs.

    python tests/benchmarks/conformal.py RUN...

Part 1 cuts the validation predictions of each run into halves, 200 times: sets are fitted on one half and measured on
the other. The test split is not read. Part 2 draws images from a known distribution and fits temperature and sets on
the same images, across five folds, or on two halves.
"""

import csv
import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import KFold

from training.evaluation.calibration import Calibrator, fit_calibration

Array = NDArray[np.float64]
COVERAGE = 0.9
PRIOR = np.array([0.45, 0.12, 0.19, 0.18, 0.06])  # RetinaMNIST's, roughly
HALVES, SIMULATIONS = 200, 600


def lac(probabilities: Array) -> Array:
    return 1 - probabilities


def aps(probabilities: Array, penalty: float = 0.0) -> Array:
    """Romano, Sesia, Candes, NeurIPS 2020, without randomisation: the mass of a label and of all more probable ones."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    mass = np.cumsum(np.take_along_axis(probabilities, order, axis=1), axis=1)
    mass += penalty * np.arange(probabilities.shape[1])
    scores = np.empty_like(mass)
    np.put_along_axis(scores, order, mass, axis=1)
    return scores


def raps(probabilities: Array) -> Array:
    """Angelopoulos et al., ICLR 2021: a penalty of .05 for every label after the first."""
    return aps(probabilities, 0.05)


def quantile(scores: Array) -> float:
    rank = math.ceil(round((len(scores) + 1) * COVERAGE, 9))
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else math.inf


def read(run: Path) -> tuple[Array, NDArray[np.int64]]:
    with (run / "predictions-val.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    labels = [name for name in header[3:] if name != "style_shift"]
    probabilities = np.array([[float(value) for value in row[3 : 3 + len(labels)]] for row in rows])
    return probabilities, np.array([labels.index(row[2]) for row in rows])


def compare(runs: list[Path]) -> None:
    methods: dict[str, Callable[[Array], Array]] = {"LAC": lac, "APS": aps, "RAPS": raps}
    random = np.random.default_rng(0)
    print("method  coverage  labels in a set  coverage of each class")
    for name, method in methods.items():
        covered, sizes, by_class = [], [], []
        for run in runs:
            probabilities, labels = read(run)
            scores, classes = method(probabilities), range(probabilities.shape[1])
            for _ in range(HALVES):
                order = random.permutation(len(labels))
                fit, held = order[: len(order) // 2], order[len(order) // 2 :]
                members = scores[held] <= quantile(scores[fit, labels[fit]])
                members[np.arange(len(held)), probabilities[held].argmax(axis=1)] = True
                hit = members[np.arange(len(held)), labels[held]]
                covered.append(hit.mean())
                sizes.append(members.sum(axis=1).mean())
                by_class.append([hit[labels[held] == k].mean() if k in labels[held] else np.nan for k in classes])
        print(
            f"{name:6}  {np.mean(covered):.3f}     {np.mean(sizes):.2f}            ",
            np.nanmean(by_class, axis=0).round(2),
        )


def draw(random: np.random.Generator, images: int) -> tuple[Array, NDArray[np.int64]]:
    """Logits of an overconfident network."""
    labels = random.choice(5, images, p=PRIOR)
    return 2.2 * (1.3 * (random.normal(size=(images, 5)) + 1.3 * np.eye(5)[labels]) + np.log(PRIOR)), labels


def calibrated(logits: Array, labels: NDArray[np.int64]) -> Calibrator:
    with np.errstate(divide="ignore", invalid="ignore"):  # a class that is missing has no part in the likelihood
        return fit_calibration(logits, labels, held_prior=PRIOR, target_prior=PRIOR)


def of_truth(probabilities: Array, labels: NDArray[np.int64]) -> Array:
    return np.asarray(lac(probabilities)[np.arange(len(labels)), labels])


def simulate(images: int) -> None:
    random = np.random.default_rng(0)
    new, truth = draw(random, 20_000)
    covered: dict[str, list[float]] = {"same images": [], "five folds": [], "two halves": []}
    for _ in range(SIMULATIONS):
        logits, labels = draw(random, images)
        whole = calibrated(logits, labels)
        folded = np.empty(images)
        for train, held in KFold(5).split(logits):
            folded[held] = of_truth(calibrated(logits[train], labels[train])(logits[held]), labels[held])
        half = calibrated(logits[: images // 2], labels[: images // 2])
        on_rest = of_truth(half(logits[images // 2 :]), labels[images // 2 :])
        fitted = [(whole, of_truth(whole(logits), labels)), (whole, folded), (half, on_rest)]
        for values, (calibrator, scores) in zip(covered.values(), fitted, strict=True):
            values.append(float((of_truth(calibrator(new), truth) <= quantile(scores)).mean()))
    print(f"\n{images} images; {math.ceil(round((images + 1) * COVERAGE, 9)) / (images + 1):.4f} if independent")
    for name, values in covered.items():
        error = np.std(values) / math.sqrt(len(values))
        print(f"{name}: {np.mean(values):.4f} +- {error:.4f}, standard deviation between splits {np.std(values):.3f}")


if __name__ == "__main__":
    if sys.argv[1:]:
        compare([Path(run) for run in sys.argv[1:]])
    for count in (60, 120):
        simulate(count)
