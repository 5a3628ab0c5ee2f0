"""Evaluate a run: calibrate on validation, measure on a split, write ``metrics.json`` and the predictions.

What each figure means is in docs/evaluation.md.
"""

import csv
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import numpy as np

from models.card import StyleReference
from models.resnet import ResNet
from models.scope import B_SCAN
from training.data.unreadable import without
from training.datasets import DataSet, Item, read_dataset
from training.device import choose_device
from training.errors import TrainingError
from training.evaluation import multilabel
from training.evaluation.bootstrap import METHOD, TOO_FEW, Weights, figures, resample, with_intervals
from training.evaluation.calibration import Calibrator, fit_calibration, prior_in_logits, target_prior
from training.evaluation.conformal import PredictionSets, fit_prediction_sets, measure_sets
from training.evaluation.figures import SplitFigures, write_figures
from training.evaluation.kept import Evaluation, evaluation_path, record
from training.evaluation.label_shift import effective_images, importance
from training.evaluation.metrics import CALIBRATION, class_metrics, confusion, figure_of, metrics_for, reliability
from training.evaluation.predict import NetworkOutputs, predict
from training.evaluation.selective import Scores, measure_selective, rejection_scores
from training.evaluation.verdicts import measure_verdicts
from training.files import sha256
from training.maps.attention import compare_attention
from training.maps.sanity import check_maps
from training.recipe import Recipe
from training.run import Run
from training.style.reference import FittedShift, fit_reference

RESAMPLES = 1000


def evaluate(run: Run, split: Literal["val", "test"]) -> SplitFigures:
    """Measure a run's network on a split and store the figures in its ``metrics.json``.

    Nothing else reads the test split; each opening is logged in the run folder before it happens.
    """
    recipe, facts = run.recipe(), run.facts()
    run.metrics()  # a damaged file shows now, and not after the split was opened
    data, network, reference, validation, calibrator = make_ready(run)
    sets = fit_prediction_sets(recipe, data, calibrator, validation)
    if split == "test":
        log_opening(run, data)
    items = data.splits[split]
    outputs = validation if split == "val" else predict(network, items, facts, reference.module)
    found = measure(recipe, data, calibrator, sets, outputs, items) | {"split": split}
    scores = None if data.multi_label else scores_of(calibrator, validation, outputs)
    found |= measure_trust(reference.reference, calibrator, outputs, scores, items)
    found["maps"] = check_maps(network, items, facts, b_scans=recipe.card.modality == B_SCAN)
    attention = compare_attention(network, items, facts)
    if attention is not None:
        found["attention"] = attention
    report = SplitFigures.model_validate(found)
    kept = record(network, items, facts, outputs, calibrator, scores["both"] if scores else None)
    kept.write(evaluation_path(run, split))
    write_predictions(run, split, kept, items, data.labels)
    write_figures(run.metrics_path, run.metrics() | {split: report})
    return report


class Ready(NamedTuple):
    """What a run's network is measured with. None of it comes from the test split."""

    data: DataSet
    network: ResNet
    """On the device of the recipe."""
    reference: FittedShift
    validation: NetworkOutputs
    calibrator: Calibrator


def make_ready(run: Run) -> Ready:
    """Read a run's data and network, and fit its style reference and its calibration.

    Raises:
        TrainingError: if the data changed since the training.
    """
    recipe, facts, data = run.recipe(), run.facts(), read_same_data(run)
    network = run.network(recipe.checkpoint).to(choose_device(recipe.device))
    reference = fit_reference(network, data, facts)
    validation = predict(network, data.splits["val"], facts, reference.module)
    return Ready(data, network, reference, validation, calibrate(recipe, data, validation))


def log_opening(run: Run, data: DataSet) -> None:
    """Add a line to the run's log of openings, which names the weights that are about to be judged."""
    weights = sha256(run.checkpoint(run.recipe().checkpoint))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with run.test_log.open("a") as log:
        log.write(f"{now} test split of {data.name} opened for {run.recipe().checkpoint}.pt, SHA-256 {weights[:16]}\n")


def read_same_data(run: Run) -> DataSet:
    """Read a run's data again.

    Raises:
        TrainingError: if they changed since the training, for then images of the training may be in the test split.
    """
    facts = run.facts()
    data = without(read_dataset(run.recipe()), (image.id for image in facts.skipped))
    if not facts.trained_on(data.provenance(), data.split_digest()):
        raise TrainingError(f"{data.name} or its split changed since the training (MD5 {data.md5}): fit again")
    return data


def calibrate(recipe: Recipe, data: DataSet, validation: NetworkOutputs) -> Calibrator:
    """The recipe's calibration, fitted on the validation split's outputs."""
    train_prior = data.prior("train")
    return fit_calibration(
        validation.logits,
        validation.labels,
        held_prior=prior_in_logits(train_prior, recipe.loss, multi_label=data.multi_label),
        target_prior=target_prior(recipe.calibration, train_prior, multi_label=data.multi_label),
        temperature=recipe.calibration.temperature,
    )


def measure(
    recipe: Recipe,
    data: DataSet,
    calibrator: Calibrator,
    sets: PredictionSets | None,
    outputs: NetworkOutputs,
    items: list[Item],
) -> dict[str, Any]:
    """All figures of the task with intervals: at the recipe's target prior, the training prior and a uniform one.

    Those of the probabilities are weighted to the prior that the probabilities assume; the others are of the images as
    they are.
    """
    labels, names, target = outputs.labels, data.labels, calibrator.target_prior
    groups = [item.group for item in items]
    patients = len(set(groups))
    by_patient = patients < len(items)
    origin = {
        "data": data.name,
        "md5": data.md5,
        "images": len(items),
        "patients": patients if by_patient else None,
        "seed": recipe.seed,
        "checkpoint": recipe.checkpoint,
        "temperature": calibrator.temperature,
        "target_prior": target.tolist(),
    }
    if data.multi_label:
        return origin | multilabel.measure(calibrator(outputs.logits), labels, groups, names, resamples=RESAMPLES)
    weights = resample(groups, labels, resamples=RESAMPLES)
    priors = {"target": target, "training": data.prior("train"), "uniform": np.full(len(names), 1 / len(names))}
    at_prior: dict[str, dict[str, Any]] = {}
    for name, prior in priors.items():
        same = next((done for done in at_prior if np.allclose(priors[done], prior)), None)
        at_prior[name] = (
            at_prior[same] if same else measure_at(recipe, calibrator.towards(prior), outputs, names, weights)
        )
    shown = at_prior["target"]
    untempered = calibrator._replace(temperature=1.0)(outputs.logits)
    importances = importance(labels, target)
    unit = "patients" if by_patient else "images"
    report = origin | {
        "interval_method": METHOD.format(unit=unit, resamples=RESAMPLES) if weights is not None else TOO_FEW,
        "metrics": shown["metrics"],
        "class_auc": {name: row["auc"]["value"] for name, row in shown["per_class"].items()},
        "per_class": shown["per_class"],
        "confusion": shown["confusion"],
        "effective_images": shown["effective_images"],
        "reliability": reliability(calibrator(outputs.logits), labels, importances),
        "without_temperature": {name: metric(untempered, labels, importances) for name, metric in CALIBRATION.items()},
        "at_prior": {
            name: {"prior": dict(zip(names, priors[name].tolist(), strict=True))}
            | {key: part[key] for key in ("effective_images", "metrics", "confusion")}
            for name, part in at_prior.items()
        },
    }
    if sets is not None:
        report["conformal"] = measure_sets(sets, calibrator(outputs.logits), labels, names, target, weights)
    return report


def measure_at(
    recipe: Recipe, calibrator: Calibrator, outputs: NetworkOutputs, names: list[str], weights: Weights | None
) -> dict[str, Any]:
    """Figures of the probabilities that one calibration gives, over all classes and of each against the rest."""
    probabilities, labels = calibrator(outputs.logits), outputs.labels
    prior = calibrator.target_prior
    importances = importance(labels, prior)
    values: dict[str, Any] = {
        name: figure_of(name, probabilities, labels, importances) for name in metrics_for(recipe.task)
    }
    by_class = class_metrics(probabilities, labels)
    drawn = figures(probabilities, labels, weights, prior) if weights is not None else {}
    return {
        "effective_images": effective_images(importances),
        "metrics": with_intervals(values, drawn),
        "per_class": {
            label: {"images": int((labels == k).sum())}
            | with_intervals(
                {name: float(of_class[k]) for name, of_class in by_class.items()},
                {name: drawn[name][:, k] for name in by_class if name in drawn},
            )
            for k, label in enumerate(names)
        },
        "confusion": confusion(probabilities, labels),
    }


def scores_of(calibrator: Calibrator, validation: NetworkOutputs, outputs: NetworkOutputs) -> dict[str, Scores]:
    """By what the images are rejected, compared with the validation images."""
    assert validation.style_shift is not None
    assert outputs.style_shift is not None
    of_validation = (validation.style_shift, calibrator(validation.logits))
    return rejection_scores(outputs.style_shift, calibrator(outputs.logits), of_validation)


def measure_trust(
    reference: StyleReference,
    calibrator: Calibrator,
    outputs: NetworkOutputs,
    scores: dict[str, Scores] | None,
    items: list[Item],
) -> dict[str, Any]:
    """The verdicts of the style shift, and the accuracy when images are rejected; only the verdicts without scores."""
    assert outputs.style_shift is not None
    groups = [item.group for item in items]
    if scores is None:
        weights = resample(groups, np.zeros(len(items), np.int64), resamples=RESAMPLES)
        return {"style_shift": measure_verdicts(reference, outputs.style_shift, None, weights)}
    weights = resample(groups, outputs.labels, resamples=RESAMPLES)
    right = calibrator(outputs.logits).argmax(axis=1) == outputs.labels
    return {
        "style_shift": measure_verdicts(reference, outputs.style_shift, right, weights),
        "selective": measure_selective(scores, right, weights),
    }


def write_predictions(run: Run, split: str, kept: Evaluation, items: list[Item], labels: list[str]) -> None:
    """One row an image: id, patient, true label (several with a semicolon between), each class's probability, shift."""
    assert kept.style_shift is not None
    with (run.folder / f"predictions-{split}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "patient", "label", *labels, "style_shift"])
        for item, row in zip(items, np.column_stack([kept.probabilities, kept.style_shift]), strict=True):
            writer.writerow([item.id, item.group, true_label(item, labels), *(f"{value:.6f}" for value in row)])


def true_label(item: Item, labels: list[str]) -> str:
    if isinstance(item.label, int):
        return labels[item.label]
    return ";".join(label for label, has in zip(labels, item.label, strict=True) if has)
