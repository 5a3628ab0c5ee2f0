"""Evaluate a run: calibrate on validation, measure on a split, write ``metrics.json`` and the predictions."""

import csv
import json
from datetime import UTC, datetime
from typing import Any, Literal

from training.calibration import Calibrator, fit_calibration, prior_in_logits, target_prior
from training.datasets import DataSet, Item, read_dataset
from training.device import choose_device
from training.errors import TrainingError
from training.metrics import BOOTSTRAP_METHOD, METRICS, bootstrap_interval, class_aucs, confusion, metrics_for
from training.predict import Outputs, predict
from training.recipe import Recipe
from training.run import Run
from training.unreadable import without

RESAMPLES = 1000


def evaluate(run: Run, split: Literal["val", "test"]) -> dict[str, Any]:
    """Measure a run's network on a split and store the figures in its ``metrics.json``.

    Opening the test split is logged in the run folder, each time.
    """
    recipe, facts = run.recipe(), run.facts()
    data = read_same_data(run)
    network = run.network(recipe.checkpoint).to(choose_device(recipe.device))
    validation = predict(network, data.splits["val"], facts)
    calibrator = calibrate(recipe, data, validation)
    if split == "test":
        with run.test_log.open("a") as log:
            log.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} test split of {data.name} opened\n")
    outputs = validation if split == "val" else predict(network, data.splits[split], facts)
    items = data.splits[split]
    report = measure(recipe, data, calibrator, outputs, items) | {"split": split}
    stored = run.metrics() | {split: report}
    run.metrics_path.write_text(json.dumps(stored, indent=2) + "\n")
    write_predictions(run, split, calibrator(outputs.logits), items, data.labels)
    return report


def read_same_data(run: Run) -> DataSet:
    """Read a run's data again.

    Raises:
        TrainingError: if they changed since the training, for then images of the training may be in the test split.
    """
    facts = run.facts()
    data, trained_on = read_dataset(run.recipe()), facts.training_data
    data = without(data, (image.id for image in facts.skipped))
    here = data.provenance()
    if (here.md5, here.split_rule, here.counts) != (trained_on.md5, trained_on.split_rule, trained_on.counts):
        raise TrainingError(f"{data.name} or its split changed since the training (MD5 {data.md5}): fit again")
    return data


def calibrate(recipe: Recipe, data: DataSet, validation: Outputs) -> Calibrator:
    """The recipe's calibration, fitted on the validation split's outputs."""
    train_prior = data.prior("train")
    return fit_calibration(
        validation.logits,
        validation.labels,
        held_prior=prior_in_logits(train_prior, recipe.loss),
        target_prior=target_prior(recipe.calibration, train_prior),
        temperature=recipe.calibration.temperature,
    )


def measure(
    recipe: Recipe, data: DataSet, calibrator: Calibrator, outputs: Outputs, items: list[Item]
) -> dict[str, Any]:
    """All figures of the task with intervals, at the recipe's target prior."""
    probabilities = calibrator(outputs.logits)
    groups = [item.group for item in items]
    by_patient = len(set(groups)) < len(groups)
    figures = {}
    for name in metrics_for(recipe.task):
        metric = METRICS[name]
        low, high = bootstrap_interval(metric, probabilities, outputs.labels, groups, resamples=RESAMPLES)
        figures[name] = {"value": metric(probabilities, outputs.labels), "interval": [low, high]}
    return {
        "data": data.name,
        "md5": data.md5,
        "images": len(items),
        "patients": len(set(groups)) if by_patient else None,
        "seed": recipe.seed,
        "checkpoint": recipe.checkpoint,
        "interval_method": BOOTSTRAP_METHOD.format(unit="patients" if by_patient else "images", resamples=RESAMPLES),
        "metrics": figures,
        "class_auc": dict(zip(data.labels, class_aucs(probabilities, outputs.labels).tolist(), strict=True)),
        "confusion": confusion(probabilities, outputs.labels),
        "temperature": calibrator.temperature,
        "target_prior": calibrator.target_prior.tolist(),
    }


def write_predictions(run: Run, split: str, probabilities: Any, items: list[Item], labels: list[str]) -> None:
    """One row an image: id, patient, true label, and each class's probability."""
    with (run.folder / f"predictions-{split}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "patient", "label", *labels])
        for item, row in zip(items, probabilities, strict=True):
            writer.writerow([item.id, item.group, labels[item.label], *(f"{value:.6f}" for value in row)])
