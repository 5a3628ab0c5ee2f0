"""Evaluations: the stored figures against scikit-learn on the stored predictions, and the log of the test split."""

import csv
import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    cohen_kappa_score,
    confusion_matrix,
    f1_score,
    log_loss,
    matthews_corrcoef,
    recall_score,
    roc_auc_score,
)

from tests.training.run_folder import change_recipe, predictions
from tests.training.tiny_data import COUNTS, medmnist_arrays, write_manifest, write_medmnist, write_tree
from training.errors import TrainingError
from training.evaluation.evaluate import evaluate, read_same_data
from training.evaluation.kept import Evaluation
from training.fitting.engine import fit
from training.packaging.export import export
from training.report import write_run_report
from training.run import Run

GRADES = ["no retinopathy", "mild", "moderate", "severe", "proliferative"]


class TestMetricsFile:
    def test_holds_both_splits(self, finished: Run, tiny_npz: Path) -> None:
        stored = json.loads((finished.folder / "metrics.json").read_text())
        assert set(stored) == {"val", "test"}
        for split, report in stored.items():
            assert (report["split"], report["images"]) == (split, sum(COUNTS[split]))
            assert (report["seed"], report["checkpoint"], report["patients"]) == (0, "best", None)
            assert report["data"].startswith(tiny_npz.stem)
            assert report["md5"] == finished.facts().training_data.md5
            assert "images" in report["interval_method"]
            np.testing.assert_allclose(report["target_prior"], np.array(COUNTS["train"]) / 240)

    @pytest.mark.parametrize("split", ["val", "test"])
    def test_has_an_interval_round_every_figure(self, finished: Run, split: str) -> None:
        figures = finished.metrics()[split].metrics
        assert "quadratic_kappa" in figures  # the grades are ordered
        for name, figure in figures.items():
            assert figure.interval is not None, name
            low, high = figure.interval
            assert low < high, name
            # A bootstrap of the calibration error is biased upwards: every resample has gaps of its own.
            assert low <= figure.value <= high or name == "ece"

    @pytest.mark.parametrize("split", ["val", "test"])
    def test_equals_scikit_learn_on_the_predictions(self, finished: Run, split: str) -> None:
        _, probabilities, labels = predictions(finished, split)
        probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)  # six digits were written
        predicted, classes = probabilities.argmax(axis=1), list(range(5))
        expected = {
            "accuracy": accuracy_score(labels, predicted),
            "balanced_accuracy": balanced_accuracy_score(labels, predicted),
            "macro_auc": roc_auc_score(labels, probabilities, multi_class="ovr", average="macro"),
            "quadratic_kappa": cohen_kappa_score(labels, predicted, weights="quadratic"),
            "macro_f1": f1_score(labels, predicted, average="macro"),
            "mcc": matthews_corrcoef(labels, predicted),
            # The split's classes are equally frequent, the target is the training split's frequencies.
            "nll": log_loss(labels, probabilities, labels=classes, sample_weight=np.array(COUNTS["train"])[labels]),
        }
        report = finished.metrics()[split]
        for name, value in expected.items():
            assert report.metrics[name].value == pytest.approx(value, abs=2e-4), name
        assert report.confusion == confusion_matrix(labels, predicted, labels=classes).tolist()
        aucs = [roc_auc_score(labels == k, probabilities[:, k]) for k in classes]
        assert report.class_auc == pytest.approx(dict(zip(GRADES, aucs, strict=True)), abs=2e-4)


class TestEachClass:
    def test_has_its_figures_and_intervals(self, finished: Run) -> None:
        report = finished.metrics()["test"]
        _, probabilities, labels = predictions(finished, "test")
        assert report.per_class is not None
        assert list(report.per_class) == GRADES
        for k, row in enumerate(report.per_class.values()):
            recall = recall_score(labels == k, probabilities.argmax(axis=1) == k)
            assert row.images == COUNTS["test"][k]
            assert row.figures["sensitivity"].value == pytest.approx(recall)
            assert row.figures["auc"].value == report.class_auc[GRADES[k]]
            for name, figure in row.figures.items():
                assert figure.interval is not None, name
                low, high = figure.interval
                assert low <= figure.value <= high or low == pytest.approx(high), name

    def test_a_split_with_a_class_of_one_image_has_hardly_a_resample_and_no_intervals(
        self, run_copy: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("training.evaluation.evaluate.resample", lambda *_, **__: None)
        report = evaluate(run_copy, "val")
        assert report.interval_method.startswith("no intervals: ")
        assert all(figure.interval is None for figure in report.metrics.values())
        assert report.conformal is not None
        assert report.conformal.coverage.interval is None


class TestPriors:
    def test_are_those_of_training_uniform_and_target(self, finished: Run) -> None:
        report = finished.metrics()["test"]
        train = np.array(COUNTS["train"]) / 240
        assert report.at_prior is not None
        priors = {name: list(part.prior.values()) for name, part in report.at_prior.items()}
        assert priors == {
            "target": pytest.approx(train),
            "training": pytest.approx(train),
            "uniform": pytest.approx([0.2] * 5),
        }
        assert report.at_prior["target"].metrics == report.metrics
        assert report.at_prior["training"].confusion == report.confusion

    def test_are_reached_by_bayes_rule(self, finished: Run) -> None:
        report = finished.metrics()["test"]
        _, probabilities, labels = predictions(finished, "test")
        joint = probabilities / (np.array(COUNTS["train"]) / 240)
        uniform = joint / joint.sum(axis=1, keepdims=True)
        assert report.at_prior is not None
        found = report.at_prior["uniform"]
        assert found.confusion == confusion_matrix(labels, uniform.argmax(axis=1), labels=range(5)).tolist()
        assert found.confusion != report.confusion
        assert found.metrics["nll"].value == pytest.approx(log_loss(labels, uniform), abs=2e-4)

    def test_the_images_are_worth_fewer_where_they_are_weighted(self, finished: Run) -> None:
        report = finished.metrics()["test"]
        assert report.at_prior is not None
        assert report.at_prior["uniform"].effective_images == pytest.approx(80)  # the split's own frequencies
        weight = np.array(COUNTS["train"])
        assert report.effective_images == pytest.approx(80 * weight.mean() ** 2 / (weight**2).mean())
        assert report.at_prior["target"].effective_images == report.effective_images

    def test_reliability_and_the_error_before_are_at_the_target(self, finished: Run) -> None:
        report = finished.metrics()["test"]
        _, probabilities, labels = predictions(finished, "test")
        weight = np.array(COUNTS["train"])[labels]
        right = probabilities.argmax(axis=1) == labels
        assert report.reliability is not None
        assert report.without_temperature is not None
        of_bins = sum((each.share or 0) * each.accuracy for each in report.reliability)
        assert of_bins == pytest.approx(np.average(right, weights=weight))
        assert of_bins != pytest.approx(right.mean(), abs=1e-3)
        joint = Evaluation.read(finished, "test").uncalibrated
        expected = log_loss(labels, joint, labels=range(5), sample_weight=weight)
        assert report.without_temperature["nll"] == pytest.approx(expected, abs=1e-6)


class TestPredictions:
    @pytest.mark.parametrize("split", ["val", "test"])
    def test_hold_every_image_with_its_label(self, finished: Run, tiny_npz: Path, split: str) -> None:
        rows, probabilities, labels = predictions(finished, split)
        assert list(rows[0]) == ["id", "patient", "label", *GRADES, "style_shift"]
        np.testing.assert_array_equal(labels, np.load(tiny_npz)[f"{split}_labels"][:, 0])
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
        assert len({row["id"] for row in rows}) == len(rows)

    @pytest.mark.parametrize("split", ["val", "test"])
    def test_reproduce_the_accuracy_by_counting(self, finished: Run, split: str) -> None:
        rows, _, _ = predictions(finished, split)
        right = sum(row["label"] == max(GRADES, key=lambda grade: float(row[grade])) for row in rows)
        assert finished.metrics()[split].metrics["accuracy"].value == pytest.approx(right / len(rows))
        assert 0.4 < right / len(rows) < 1


class TestTestSplit:
    def test_is_logged_at_each_opening(self, run_copy: Run) -> None:
        before = run_copy.test_log.read_text().splitlines()
        assert len(before) == 1
        assert "tiny" in before[0]
        evaluate(run_copy, "val")
        assert run_copy.test_log.read_text().splitlines() == before
        evaluate(run_copy, "test")
        after = run_copy.test_log.read_text().splitlines()
        assert after[:1] == before
        assert len(after) == 2

    def test_log_names_the_weights_that_are_judged(self, run_copy: Run) -> None:
        digest = hashlib.sha256((run_copy.folder / "best.pt").read_bytes()).hexdigest()
        assert run_copy.test_log.read_text().rstrip().endswith(f"best.pt, SHA-256 {digest[:16]}")

    def test_log_outlives_the_run_that_is_written_over(self, run_copy: Run) -> None:
        before = run_copy.test_log.read_text()
        Run.create(run_copy.folder, run_copy.recipe(), run_copy.facts(), overwrite=True)
        assert not list(run_copy.folder.glob("evaluation-*.npz"))
        assert not run_copy.metrics_path.exists()
        assert run_copy.test_log.read_text() == before

    def test_is_read_by_nothing_else(self, run_copy: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        # The test images are files that are not there: whoever reads one fails.
        whole = read_same_data(run_copy)
        gone = [item._replace(image=tmp_path / f"{item.id}.png") for item in whole.splits["test"]]
        data = dataclasses.replace(whole, splits={**whole.splits, "test": gone})
        monkeypatch.setattr("training.fitting.material.read_dataset", lambda *_: data)
        for module in ("evaluation.evaluate", "packaging.export"):
            monkeypatch.setattr(f"training.{module}.read_same_data", lambda *_: data)
        # Whether they can be decoded is looked at before a training; what it keeps goes to the disk alone.
        monkeypatch.setattr("training.fitting.material.verify", lambda *_, keep: None)
        recipe = run_copy.recipe().model_copy(update={"epochs": 1})
        run = fit(recipe, tmp_path / "again", progress=False)
        evaluate(run, "val")
        write_run_report(run)
        assert not run.test_log.exists()
        with pytest.raises(TrainingError, match=r"80 image\(s\) can't be read"):
            evaluate(run, "test")
        assert len(run.test_openings()) == 1  # it was tried, so it is in the log
        assert set(run.metrics()) == {"val"}
        # An export has read its data when it begins to write the graph.
        monkeypatch.setattr("training.packaging.export.write_graph", Mock(side_effect=InterruptedError))
        with pytest.raises(InterruptedError):
            export(run_copy, tmp_path / "repository")

    def test_measured_again_gives_the_same_figures(self, run_copy: Run) -> None:
        before = run_copy.metrics()
        assert evaluate(run_copy, "test") == before["test"]
        assert run_copy.metrics() == before


class TestCalibration:
    def test_to_uniform_classes_is_bayes_rule(self, run_copy: Run) -> None:
        _, before, _ = predictions(run_copy, "test")
        change_recipe(run_copy, calibration={"target_prior": "uniform"})
        report = evaluate(run_copy, "test")
        _, after, _ = predictions(run_copy, "test")
        joint = before / (np.array(COUNTS["train"]) / 240)
        np.testing.assert_allclose(after, joint / joint.sum(axis=1, keepdims=True), atol=2e-4)
        assert np.abs(after - before).max() > 0.05
        assert report.target_prior == pytest.approx([0.2] * 5)

    def test_to_a_stated_population_is_bayes_rule(self, run_copy: Run) -> None:
        _, before, _ = predictions(run_copy, "test")
        stated = np.array([10, 2, 2, 1, 5])  # need not sum to 1
        change_recipe(run_copy, calibration={"target_prior": stated.tolist()})
        report = evaluate(run_copy, "test")
        _, after, _ = predictions(run_copy, "test")
        joint = before * stated / np.array(COUNTS["train"])
        np.testing.assert_allclose(after, joint / joint.sum(axis=1, keepdims=True), atol=2e-4)
        assert report.target_prior == pytest.approx([0.5, 0.1, 0.1, 0.05, 0.25])

    def test_without_temperature(self, run_copy: Run) -> None:
        assert run_copy.metrics()["val"].temperature != pytest.approx(1, abs=0.01)
        change_recipe(run_copy, calibration={"temperature": False})
        report = evaluate(run_copy, "val")
        assert report.temperature == 1
        # Ranks within an image stay, so with the same target prior the accuracy stays about the same.
        assert report.metrics["macro_auc"].value == pytest.approx(
            run_copy.metrics()["test"].metrics["macro_auc"].value, abs=0.1
        )


class TestPatients:
    def test_are_the_unit_of_the_intervals(self, by_patient: Run) -> None:
        report = evaluate(by_patient, "val")
        rows, _, _ = predictions(by_patient, "val")
        assert "patients" in report.interval_method
        assert report.patients == len({row["patient"] for row in rows}) == len(rows) / 2
        assert all(row["patient"].startswith("p") for row in rows)
        assert "quadratic_kappa" not in report.metrics  # the classes have no order

    def test_moved_by_new_images_are_noticed(self, by_patient: Run, tmp_path: Path) -> None:
        # One more image, and the random split is another: images that the network was trained on would be tested.
        scans = Path(shutil.copytree(by_patient.folder.parent / "scans", tmp_path / "scans"))
        run = Run(Path(shutil.copytree(by_patient.folder, tmp_path / "run")))
        change_recipe(run, data=str(scans))
        evaluate(run, "val")
        (new,) = write_tree(scans, {"new": 1}, size=(16, 16))
        with (scans / "manifest.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        write_manifest(scans, [row | {"label": row["file"].split("/")[0]} for row in rows])
        evaluate(run, "val")
        rows.append({"file": new, "patient": "p-new"})
        write_manifest(scans, [row | {"label": row["file"].split("/")[0].replace("new", "ill")} for row in rows])
        with pytest.raises(TrainingError, match=r"(?i)md5|changed"):
            evaluate(run, "test")


class TestChangedData:
    def test_is_refused(self, run_copy: Run, tmp_path: Path) -> None:
        other = write_medmnist(tmp_path / "tiny.npz", medmnist_arrays(seed=99))
        change_recipe(run_copy, data=str(other))
        with pytest.raises(TrainingError, match=r"(?i)md5|changed"):
            evaluate(run_copy, "val")

    def test_is_not_what_another_wording_of_the_rule_is(self, run_copy: Run) -> None:
        facts = json.loads(run_copy.facts_path.read_text())
        facts["training_data"]["split_rule"] = "in other words"
        run_copy.facts_path.write_text(json.dumps(facts))
        evaluate(run_copy, "val")

    def test_is_refused_where_two_images_changed_places(self, by_patient: Run, tmp_path: Path) -> None:
        # As many images of each class in each split as before, and every file the same.
        scans = Path(shutil.copytree(by_patient.folder.parent / "scans", tmp_path / "scans"))
        run = Run(Path(shutil.copytree(by_patient.folder, tmp_path / "run")))
        data = read_same_data(run)
        places = {item.id: split for split, items in data.splits.items() for item in items}
        change_recipe(run, data=str(scans))
        with (scans / "manifest.csv").open(newline="") as file:
            rows = [row | {"label": row["file"].split("/")[0]} for row in csv.DictReader(file)]
        placed = [row | {"split": places[row["file"]]} for row in rows]
        write_manifest(scans, placed)
        evaluate(run, "val")
        of = {split: [r for r in placed if r["split"] == split and r["label"] == "ill"] for split in ("train", "test")}
        first, second = ({r["patient"] for r in of[split]}.pop() for split in ("train", "test"))
        swap = {first: "test", second: "train"}
        write_manifest(scans, [row | {"split": swap.get(row["patient"], row["split"])} for row in placed])
        with pytest.raises(TrainingError, match="changed"):
            evaluate(run, "test")

    def test_is_refused_where_only_the_split_is_another(self, by_patient: Run, tmp_path: Path) -> None:
        # The images are the same to the byte, but those of the training would be tested.
        run = Run(Path(shutil.copytree(by_patient.folder, tmp_path / "run")))
        change_recipe(run, folder={"split_seed": 1})
        with pytest.raises(TrainingError, match=r"(?i)split|changed"):
            evaluate(run, "test")
