"""Cross-validation: a run a fold, and figures over all held-out images that scikit-learn agrees with."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from tests.training.tiny_data import tiny_recipe, write_manifest, write_tree
from training.comparison.cross_validation import cross_validate
from training.errors import TrainingError
from training.recipe import Recipe
from training.run import Run

FOLDS = 3


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """24 patients with two images each, one class a patient."""
    root = tmp_path_factory.mktemp("data") / "scans"
    files = write_tree(root, {"healthy": 24, "ill": 24})
    write_manifest(root, [{"file": file, "patient": f"p{index // 2}"} for index, file in enumerate(files)])
    return tiny_recipe(
        root,
        dataset="folder",
        task="multi-class",
        epochs=1,
        batch_size=8,
        input={"size": 12, "channels": 1},
        network={"depth": 20, "width": 0.25},
    )


@pytest.fixture(scope="module")
def crossed(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("folds") / "cross"
    return folder, cross_validate(recipe, folder, FOLDS, progress=False)


def test_pools_the_held_out_predictions(crossed: tuple[Path, dict[str, Any]]) -> None:
    folder, report = crossed
    with (folder / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["id"] for row in rows}) == len(rows) == report["images"] == 48
    assert report["patients"] == 24
    ill = np.array([float(row["ill"]) for row in rows])
    truth = np.array([row["label"] == "ill" for row in rows])
    figures = report["metrics"]
    assert figures["macro_auc"]["value"] == pytest.approx(roc_auc_score(truth, ill), abs=1e-4)
    assert figures["accuracy"]["value"] == pytest.approx(accuracy_score(truth, ill > 0.5))
    targets = [Run.open(folder / f"fold-{index}").metrics()["test"].target_prior for index in range(FOLDS)]
    weight = np.mean(targets, axis=0)[truth.astype(int)] / np.where(truth, truth.mean(), 1 - truth.mean())
    assert figures["nll"]["value"] == pytest.approx(log_loss(truth, ill, sample_weight=weight), abs=1e-4)
    assert report["effective_images"] == pytest.approx(weight.sum() ** 2 / (weight**2).sum())
    for figure in figures.values():
        low, high = figure["interval"]
        assert low <= figure["value"] + 1e-9
        assert high >= figure["value"] - 1e-9
    by_fold = [
        accuracy_score(truth[part], ill[part] > 0.5)
        for part in (np.array([row["fold"] == str(index) for row in rows]) for index in range(FOLDS))
    ]
    assert figures["accuracy"]["fold_mean"] == pytest.approx(np.mean(by_fold))
    assert figures["accuracy"]["fold_spread"] == pytest.approx(np.std(by_fold, ddof=1))
    assert "patients" in report["interval_method"]
    assert json.loads((folder / "cross-validation.json").read_text()) == report


def test_leaves_a_run_for_each_fold(crossed: tuple[Path, dict[str, Any]]) -> None:
    folder, report = crossed
    for index in range(FOLDS):
        run = Run.open(folder / f"fold-{index}")
        assert (run.recipe().folds.count, run.recipe().folds.index) == (FOLDS, index)
        assert run.metrics()["test"].data == f"scans, fold {index + 1} of {FOLDS}"
    assert report["data"] == "scans"


def test_resumes_after_a_kill(crossed: tuple[Path, dict[str, Any]], recipe: Recipe) -> None:
    folder, report = crossed
    last = Run(folder / f"fold-{FOLDS - 1}")
    weights = last.checkpoint("last").read_bytes()
    for path in (last.checkpoint("last"), last.metrics_path, folder / "cross-validation.json"):
        path.unlink()
    first = (folder / "fold-0" / "last.pt").stat().st_mtime_ns
    lines: list[str] = []
    assert cross_validate(recipe, folder, FOLDS, resume=True, progress=False, report=lines.append) == report
    assert [line[:17] for line in lines if "epoch" in line] == [f"fold {FOLDS - 1}: epoch 1/1"]
    assert (folder / "fold-0" / "last.pt").stat().st_mtime_ns == first
    assert last.checkpoint("last").read_bytes() == weights


def test_needs_two_folds(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="at least 2"):
        cross_validate(recipe, tmp_path / "cross", 1, progress=False)
