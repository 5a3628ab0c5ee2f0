"""``report.html``: one file for a reader of clinical machine learning, from what an evaluation left in the run folder.

It opens no data: the figures come from ``metrics.json``, the curves and pictures from ``evaluation-<split>.npz``.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from training.errors import TrainingError
from training.evaluation.evaluate import RESAMPLES
from training.evaluation.figures import PriorFigures, SplitFigures
from training.evaluation.kept import Evaluation
from training.evaluation.label_shift import importance
from training.files import replace_text
from training.packaging.compose_card import blocks_of
from training.perturbation.figures import kept_perturbations
from training.report.charts import MOST_CURVES, curves, gate_profiles, reliability, risk_coverage, training_curves
from training.report.history import TRAINING_LOSS, read_history
from training.report.pictures import mistakes
from training.report.subgroups import has_subgroups, read_subgroups
from training.run import Run

CHARTS = ("curves", "reliability", "selective", "training", "gates")
FIGURES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_auc": "AUC, macro",
    "quadratic_kappa": "Quadratic kappa",
    "macro_f1": "F1, macro",
    "mcc": "Matthews correlation (MCC)",
    "nll": "Negative log-likelihood",
    "brier": "Brier score (0 to 2)",
    "ece": "Calibration error (ECE)",
}
CLASS_FIGURES = {
    "auc": "AUC",
    "average_precision": "Average precision",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "f1": "F1",
    "sensitivity_at_specificity_0.90": "Sens. at spec. 0.90",
    "sensitivity_at_specificity_0.95": "Sens. at spec. 0.95",
    "specificity_at_sensitivity_0.90": "Spec. at sens. 0.90",
    "specificity_at_sensitivity_0.95": "Spec. at sens. 0.95",
}

SCORES = {"style_shift": "style shift", "confidence": "confidence", "both": "both"}
"""Titles of the scores by which images are rejected."""


def write_run_report(
    run: Run,
    split: Literal["val", "test"] | None = None,
    *,
    metadata: Path | None = None,
    output: Path | None = None,
    images: bool = True,
) -> Path:
    """Write the report of a run and return its path.

    Args:
        run: evaluated at least once.
        split: the test split if it was evaluated, else validation, unless named.
        metadata: a CSV whose columns make subgroups, see :mod:`training.report.subgroups`; default: the run's own
            list of images, if a table named its eye or other columns, and unless it is multi-label.
        output: ``report.html`` in the run folder, unless named.
        images: whether it contains misclassified images. Their licence may forbid sharing.

    Raises:
        TrainingError: if the split was not evaluated, or the metadata do not fit.
    """
    path = output or run.folder / "report.html"
    if not path.parent.is_dir():
        raise TrainingError(f"the report can't be written to {path}: {path.parent} is not a folder")
    chosen = split or ("test" if "test" in run.metrics() else "val")
    evaluation = Evaluation.read(run, chosen)
    if metadata is None and evaluation.labels.ndim == 1 and has_subgroups(run.images_path):
        metadata = run.images_path
    page = environment().get_template("report.html.jinja").render(contents(run, chosen, evaluation, metadata, images))
    try:
        replace_text(path, page)
    except OSError as error:
        raise TrainingError(f"the report can't be written to {path}: {error}") from None
    return path


def environment() -> Environment:
    """The template environment. Everything is escaped, and a missing name is an error."""
    made = Environment(
        loader=PackageLoader("training.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["number"] = lambda value: f"{value:.3f}"
    made.filters["bounds"] = lambda figure: "{:.3f} to {:.3f}".format(*figure.interval) if figure.interval else ""
    return made


def contents(run: Run, split: str, evaluation: Evaluation, metadata: Path | None, images: bool) -> dict[str, Any]:
    """What the page shows, by the names that the template uses."""
    recipe, facts, report = run.recipe(), run.facts(), run.metrics()[split]
    several = evaluation.labels.ndim == 2
    if several and metadata is not None:
        raise TrainingError("subgroups are of one label an image; this is a multi-label task: leave out --metadata")
    # The figures of an earlier version are of the split as it is, so charts and groups beside them are too.
    prior = None if report.effective_images is None else np.asarray(report.target_prior)
    history = read_history(run.folder / "tensorboard")
    loss = history.pop(TRAINING_LOSS, None)
    blocks = blocks_of(run.network(recipe.checkpoint))
    charts = {"curves": curves(evaluation.probabilities, evaluation.truth, facts.labels)}
    if not several:
        weights = None if prior is None else importance(evaluation.labels, prior)
        charts["reliability"] = reliability(
            evaluation.uncalibrated, evaluation.probabilities, evaluation.labels, weights
        )
    if scores := evaluation.rejection_scores:
        right = evaluation.probabilities.argmax(axis=1) == evaluation.labels
        charts["selective"] = risk_coverage({SCORES[name]: each for name, each in scores.items()}, right)
    if loss is not None or history:
        charts["training"] = training_curves(loss, history, recipe.select_by)
    if blocks:
        charts["gates"] = gate_profiles(evaluation.gate_mean, blocks, facts.labels)
    return {
        "name": recipe.name,
        "card": recipe.card,
        "task": recipe.task,
        "split": {"val": "validation", "test": "test"}[split],
        "report": report,
        "several": several,
        "sets": report.conformal,
        "shift": report.style_shift,
        "selective": report.selective,
        "perturbations": kept_perturbations(run, split),
        "maps": report.maps,
        "score_names": SCORES,
        "facts": facts,
        "network": recipe.network,
        "select_by": FIGURES.get(recipe.select_by, recipe.select_by),
        "recipe": yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False),
        "parameters": sum(p.numel() for p in run.network(recipe.checkpoint).parameters()),
        "figure_names": FIGURES,
        "class_figure_names": CLASS_FIGURES,
        "priors": by_prior(report),
        "charts": {name: Markup(charts[name]) if name in charts else None for name in CHARTS},
        "most_curves": MOST_CURVES,
        "subgroups": None if metadata is None else read_subgroups(metadata, evaluation, RESAMPLES, prior),
        "metadata": metadata.name if metadata else None,
        "mistakes": mistakes(evaluation, facts.labels) if images else [],
        "wrong": None if several else int((evaluation.probabilities.argmax(axis=1) != evaluation.labels).sum()),
        "images": images,
        "openings": run.test_openings(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def by_prior(report: SplitFigures) -> list[tuple[str, PriorFigures]]:
    """The figures at each prior under a title; priors that are the same share a column. Empty for several labels."""
    columns: list[tuple[str, PriorFigures]] = []
    for name, part in (report.at_prior or {}).items():
        same = next((place for place, (_, other) in enumerate(columns) if other.prior == part.prior), None)
        if same is None:
            columns.append((name.capitalize(), part))
        else:
            columns[same] = (f"{columns[same][0]} and {name}", columns[same][1])
    return columns
