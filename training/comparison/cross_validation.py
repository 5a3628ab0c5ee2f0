"""Cross-validation: a run for each fold, and the figures over all held-out images together."""

import csv
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from training import distributed
from training.device import choose_device
from training.evaluation import evaluate, multilabel
from training.evaluation.bootstrap import METHOD, TOO_FEW, figures, resample, with_intervals
from training.evaluation.figures import SplitFigures
from training.evaluation.label_shift import effective_images, importance
from training.evaluation.metrics import confusion, figure_of, metrics_for
from training.files import write_atomically
from training.fitting.engine import fit, silent
from training.recipe import Recipe, check_recipe
from training.run import Run


def fold_recipe(recipe: Recipe, index: int, count: int) -> Recipe:
    """The recipe with one fold held out.

    Raises:
        TrainingError: for a count below 2 or an index that is not below it.
    """
    content = recipe.model_dump(mode="json")
    content["folds"] |= {"count": count, "index": index}
    return check_recipe(content, f"fold {index} of {count}")


def cross_validate(
    recipe: Recipe,
    folder: Path,
    folds: int,
    *,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
    report: Callable[[str], None] = silent,
) -> dict[str, Any]:
    """Fit and measure every fold, in ``<folder>/fold-<i>``, and write the figures over all of them.

    ``cross-validation.json`` holds each figure of the pooled out-of-fold predictions with its interval, and its mean
    and standard deviation over the folds; ``predictions.csv`` holds the predictions. With ``resume``, finished
    folds are kept, and the one that was killed continues. What each fit reports is reported with the fold's number.

    Raises:
        TrainingError: as :func:`training.fitting.engine.fit` does.
    """
    recipes = [fold_recipe(recipe, index, folds) for index in range(folds)]
    reports, rows = [], []
    with distributed.process_group(distributed.own_device(choose_device(recipe.device))):
        for index, of_fold in enumerate(recipes):
            run = fit(
                of_fold,
                folder / f"fold-{index}",
                overwrite=overwrite,
                resume=resume,
                progress=progress,
                report=partial(report_of_fold, report, index),
            )
            if distributed.rank() == 0:
                done = run.metrics().get("test") if resume else None
                reports.append(done or evaluate.evaluate(run, "test"))
                rows += [[str(index), *row] for row in predictions(run)]
    if distributed.rank():
        return {}
    header = ["fold", "id", "patient", "label", *run.facts().labels]
    with (folder / "predictions.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    found = pooled(recipe, reports, rows, run.facts().labels)
    write_atomically(folder / "cross-validation.json", (json.dumps(found, indent=2) + "\n").encode())
    return found


def report_of_fold(report: Callable[[str], None], index: int, line: str) -> None:
    report(f"fold {index}: {line}")


def predictions(run: Run) -> list[list[str]]:
    """The rows of a fold's held-out predictions: id, patient, label, and each class's probability."""
    with (run.folder / "predictions-test.csv").open(newline="") as file:
        return [row[: 3 + len(run.facts().labels)] for row in list(csv.reader(file))[1:]]


def pooled(recipe: Recipe, reports: list[SplitFigures], rows: list[list[str]], labels: list[str]) -> dict[str, Any]:
    """Figures over the out-of-fold predictions of all folds, each image predicted by a network that never saw it."""
    probabilities = np.array([[float(value) for value in row[4:]] for row in rows])
    patients = [row[2] for row in rows]
    by_patient = len(set(patients)) < len(patients)
    if recipe.task == "multi-label":
        several = np.array([[label in row[3].split(";") for label in labels] for row in rows], dtype=np.int64)
        measured = multilabel.measure(probabilities, several, patients, labels, resamples=evaluate.RESAMPLES)
    else:
        probabilities /= probabilities.sum(axis=1, keepdims=True)  # the six digits of the file
        truth = np.array([labels.index(row[3]) for row in rows], dtype=np.int64)
        weights = resample(patients, truth, resamples=evaluate.RESAMPLES)
        unit = "patients" if by_patient else "images"
        prior = np.mean([report.target_prior for report in reports], axis=0)
        importances = importance(truth, prior)
        values = {name: figure_of(name, probabilities, truth, importances) for name in metrics_for(recipe.task)}
        measured = {
            "interval_method": TOO_FEW if weights is None else METHOD.format(unit=unit, resamples=len(weights)),
            "metrics": with_intervals(values, {} if weights is None else figures(probabilities, truth, weights, prior)),
            "effective_images": effective_images(importances),
            "confusion": confusion(probabilities, truth),
        }
    for name, figure in measured["metrics"].items():
        of_folds = [report.metrics[name].value for report in reports]
        figure |= {"fold_mean": float(np.mean(of_folds)), "fold_spread": float(np.std(of_folds, ddof=1))}
    return {
        "data": reports[0].data.rpartition(", fold ")[0],
        "split": "out-of-fold",
        "md5": reports[0].md5,
        "images": len(rows),
        "patients": len(set(patients)) if by_patient else None,
        "folds": len(reports),
        "seed": recipe.seed,
    } | measured
