"""The card repeats what was measured of the run, and says what it was measured on."""

import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.special import softmax

from tests.training.packaging.packages import answers, open_package
from tests.training.run_folder import predictions
from tests.training.tiny_data import COUNTS
from training.evaluation.evaluate import evaluate
from training.packaging.export import export
from training.run import Run


class TestCard:
    def test_repeats_the_measured_figures(self, finished: Run, package: Path) -> None:
        _, card = open_package(package)
        report = json.loads((finished.folder / "metrics.json").read_text())["test"]
        by = report["selective"]["by"]
        expected = report["metrics"] | {
            "style_shift_false_alarms": report["style_shift"]["false_alarm_rate"],
            "accuracy_on_the_most_confident_80_percent": by["confidence"]["accuracy"]["0.80"],
            "accuracy_on_the_most_confident_and_usual_80_percent": by["both"]["accuracy"]["0.80"],
        }
        assert {result.metric: result.value for result in card.measured.results} == {
            name: figure["value"] for name, figure in expected.items()
        }
        for result in card.measured.results:
            assert result.interval == tuple(expected[result.metric]["interval"])
            assert (result.split, result.images, result.data) == ("test", 80, report["data"])
        assert card.measured.interval_method == report["interval_method"]
        assert card.calibration.temperature == report["temperature"]

    def test_repeats_the_prediction_sets(self, finished: Run, package: Path) -> None:
        _, card = open_package(package)
        sets = finished.metrics()["test"].conformal
        assert sets is not None
        assert card.schema_version == 3
        assert card.conformal is not None
        assert card.conformal.thresholds == list(sets.thresholds.values())
        assert (card.conformal.measured.split, card.conformal.measured.images) == ("test", 80)
        assert card.conformal.measured.coverage == sets.coverage.value
        assert card.conformal.measured.by_label.keys() == set(card.labels)
        # The sets of the package itself, by the service's rule, cover what the card says.
        rows, probabilities, labels = predictions(finished, "test")
        members = [card.conformal.members(row.tolist()) for row in probabilities]
        covered = [label in inside for label, inside in zip(labels, members, strict=True)]
        assert np.mean(covered) == pytest.approx(card.conformal.measured.coverage, abs=1 / len(rows))

    def test_says_what_the_model_is_for_where_the_recipe_does(
        self, run_copy: Run, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scope = open_package(package)[1].scope
        assert scope is not None
        assert (scope.modality, scope.dicom_modalities) == ("colour fundus photograph", ["OP"])
        monkeypatch.setattr("training.packaging.export.write_graph", lambda _, __, path: shutil.copy(package, path))
        recipe = run_copy.folder / "recipe.yaml"
        content = yaml.safe_load(recipe.read_text())
        del content["card"]["modality"]  # as in a run from before there were scopes
        recipe.write_text(yaml.safe_dump(content))
        assert open_package(export(run_copy, tmp_path / "repository"))[1].scope is None

    def test_says_how_often_the_test_split_was_opened(self, package: Path) -> None:
        assert open_package(package)[1].measured.selection.endswith("test split opened once in this run")

    def test_never_says_once_of_a_test_split_that_was_opened_twice(
        self, run_copy: Run, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # The graph is copied in place of traced anew; the card is composed from the run's folder.
        monkeypatch.setattr("training.packaging.export.write_graph", lambda _, __, path: shutil.copy(package, path))
        evaluate(run_copy, "test")
        _, card = open_package(export(run_copy, tmp_path / "repository"))
        assert card.measured.selection.endswith("test split opened 2 times in this run")
        assert "once" not in card.measured.selection

    def test_states_data_words_and_network(self, finished: Run, package: Path, tiny_npz: Path) -> None:
        _, card = open_package(package)
        recipe = finished.recipe()
        assert (card.name, card.version, card.task) == ("tiny", "1", "ordinal")
        assert (card.description, card.limits) == (recipe.card.description, recipe.card.limits)
        assert (card.input.height, card.input.width, card.input.channels) == (28, 28, 3)
        assert list(card.training_data.counts["train"].values()) == list(COUNTS["train"])
        assert card.recipe["epochs"] == 3
        assert "data" not in card.recipe
        assert "initial_weights" not in card.recipe["network"]  # its path is of this machine
        assert str(tiny_npz.parent) not in card.model_dump_json()  # a card is published, a path is private

    def test_gates_stand_block_after_block(self, finished: Run, package: Path) -> None:
        _, card = open_package(package)
        # ResNet-18: two blocks in each of four stages of round(0.1 * 64 * 2^stage) channels.
        assert [block.channels for block in card.blocks] == [6, 6, 13, 13, 26, 26, 51, 51]
        assert [block.offset for block in card.blocks] == [0, 6, 12, 25, 38, 64, 90, 141]
        assert [block.name for block in card.blocks] == [f"layer{stage}.{n}" for stage in (1, 2, 3, 4) for n in (0, 1)]
        assert all(first.offset + first.channels == second.offset for first, second in pairwise(card.blocks))

    def test_gate_reference_is_measured_on_the_training_images(self, package: Path, tiny_npz: Path) -> None:
        _, card = open_package(package)
        gates = answers(package, np.load(tiny_npz)["train_images"])["recalibration_weights"]
        assert card.gate_reference is not None
        assert card.gate_reference.images == 240
        np.testing.assert_allclose(card.gate_reference.mean, gates.mean(axis=0), atol=1e-4)
        np.testing.assert_allclose(card.gate_reference.std, gates.std(axis=0), atol=1e-4)

    def test_calibration_error_before_and_after(self, finished: Run, package: Path, tiny_npz: Path) -> None:
        # The target is the training split's frequencies, which the logits hold; validation has uniform classes.
        _, card = open_package(package)
        arrays, prior = np.load(tiny_npz), np.array(COUNTS["train"]) / 240
        maps = answers(package, arrays["val_images"])["class_activation"]
        logits, labels = maps.mean(axis=(2, 3)).astype(float), arrays["val_labels"][:, 0]
        weight = prior[labels] / prior[labels].sum()

        def error(temperature: float) -> float:
            probabilities = softmax(logits / temperature, axis=1)
            confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
            bins = np.minimum((confidence * 15).astype(int), 14)
            return sum(abs((weight * (confidence - right))[bins == k].sum()) for k in range(15))

        assert card.calibration.ece_before == pytest.approx(error(1.0), abs=2e-3)
        assert card.calibration.ece_after == pytest.approx(error(card.calibration.temperature), abs=2e-3)
        assert card.calibration.ece_interval is not None
        low, high = card.calibration.ece_interval
        assert 0 <= low < high
        assert card.calibration.effective_images == pytest.approx(1 / (weight**2).sum())

    def test_says_to_which_frequencies_the_test_figures_are_weighted(self, finished: Run, package: Path) -> None:
        _, card = open_package(package)
        assert card.measured.effective_images == finished.metrics()["test"].effective_images
        assert card.measured.reliability is not None
        assert sum(each.share or 0 for each in card.measured.reliability) == pytest.approx(1)

    def test_states_the_parity(self, package: Path) -> None:
        _, card = open_package(package)
        assert card.parity.batch_sizes == [1, 2, 7, 32]
        assert card.parity.worst_difference.keys() == set(card.outputs)
        assert all(0 <= difference <= 1e-4 for difference in card.parity.worst_difference.values())
        assert max(card.parity.worst_difference.values()) > 0
