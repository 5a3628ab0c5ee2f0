"""The analysis of a run's gates: its figures, its page, and runs that can't be analysed."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.stats import spearmanr

from tests.training.command_line import call
from tests.training.tiny_data import medmnist_arrays, write_medmnist
from training.errors import TrainingError
from training.evaluation.evaluate import evaluate, read_same_data
from training.evaluation.predict import predict
from training.gates.analyse import analyse
from training.run import Run


@pytest.fixture(scope="module")
def analysed(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that was analysed, beside a copy of itself that is drawn from the same data."""
    folder = tmp_path_factory.mktemp("analysis")
    run, other = (Run(Path(shutil.copytree(finished.folder, folder / name))) for name in ("first", "second"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.gates.analyse.FRACTIONS", (0.0, 0.9))
        patch.setattr("training.gates.analyse.BLOCK_FRACTIONS", (0.9,))
        analyse(run, "val", against=other, report=lambda _: None)
    return run


def content(run: Run) -> dict:
    found: dict = json.loads((run.folder / "analysis.json").read_text())
    return found


class TestFigures:
    def test_correlation_is_numpy_s_on_the_gates(self, analysed: Run) -> None:
        gates = predict(analysed.network(), read_same_data(analysed).splits["val"], analysed.facts()).gates
        offset = 0
        for block in content(analysed)["runs"][0]["blocks"]:
            matrix = np.abs(np.corrcoef(gates[:, offset : offset + block["channels"]].T.astype(np.float64)))
            off = matrix[~np.eye(len(matrix), dtype=bool)]
            assert block["correlation"]["mean_absolute"] == pytest.approx(off.mean(), abs=1e-4)
            offset += block["channels"]
        assert offset == gates.shape[1]

    def test_pruning_nothing_is_the_evaluation(self, analysed: Run) -> None:
        pruning = content(analysed)["runs"][0]["pruning"]
        for key in ("accuracy", "balanced_accuracy"):
            expected = analysed.metrics()["val"].metrics[key].value
            assert pruning["lowest"][0][key] == pytest.approx(expected)
            assert pruning["random"][0][key] == pytest.approx(expected)
        assert pruning["lowest"][-1]["accuracy"] < pruning["lowest"][0]["accuracy"]
        assert len(pruning["blocks"]) == 8

    def test_classes_differ_in_gates_that_follow_brightness(self, analysed: Run) -> None:
        # The made-up classes are levels of brightness, which is what style pooling sees.
        found = content(analysed)
        assert all(channel["above_floor"] for channel in found["channels"])
        assert abs(spearmanr(range(5), found["channels"][0]["class_means"]).statistic) > 0.8
        assert sum(block["channels_above_floor"] for block in found["runs"][0]["blocks"]) > 20

    def test_extreme_images_have_the_extreme_gates(self, analysed: Run) -> None:
        items = read_same_data(analysed).splits["val"]
        gates = predict(analysed.network(), items, analysed.facts()).gates
        found = content(analysed)
        channel, offset = found["channels"][0], 0
        for block in found["runs"][0]["blocks"]:
            if block["name"] == channel["block"]:
                break
            offset += block["channels"]
        column = gates[:, offset + channel["channel"]]
        ids = [item.id for item in items]
        assert {ids.index(i) for i in channel["highest"]} == set(np.argsort(column)[-5:].tolist())
        assert {ids.index(i) for i in channel["lowest"]} == set(np.argsort(column)[:5].tolist())

    def test_of_the_same_network_twice_are_the_same(self, analysed: Run) -> None:
        first, second = content(analysed)["runs"]
        assert first.pop("run") != second.pop("run")
        assert first == second


class TestPage:
    def test_needs_nothing_else(self, analysed: Run) -> None:
        page = (analysed.folder / "analysis.html").read_text()
        fetched = re.findall(r'(?:src|href)="([^"]*)"', page)
        assert fetched
        assert all(address.startswith(("data:", "#")) for address in fetched)
        assert page.count("<svg") == 6
        assert page.count("data:image/jpeg") == 6 * 10
        identifiers = re.findall(r'\bid="([^"]*)"', page)
        assert len(set(identifiers)) == len(identifiers)

    def test_without_images(
        self, run_copy: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("training.gates.analyse.FRACTIONS", (0.0, 0.5))
        monkeypatch.setattr("training.gates.analyse.BLOCK_FRACTIONS", ())
        assert call(monkeypatch, "analyse", run_copy.folder, "--no-images") == 0
        assert str(run_copy.folder / "analysis.html") in capsys.readouterr().out
        assert "data:image/jpeg" not in (run_copy.folder / "analysis.html").read_text()


def test_opening_the_test_split_is_logged(run_copy: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.gates.analyse.FRACTIONS", (0.0,))
    monkeypatch.setattr("training.gates.analyse.BLOCK_FRACTIONS", ())
    before = run_copy.test_log.read_text().splitlines()
    analyse(run_copy, "test", images=False, report=lambda _: None)
    assert len(run_copy.test_log.read_text().splitlines()) == len(before) + 1


def test_run_without_gates_is_refused(run_copy: Run) -> None:
    recipe = yaml.safe_load(run_copy.recipe_path.read_text())
    recipe["network"]["recalibration"] = "none"
    run_copy.recipe_path.write_text(yaml.safe_dump(recipe))
    with pytest.raises(TrainingError, match="has no gates to analyse"):
        analyse(run_copy)


def test_runs_on_different_data_are_refused(finished: Run, run_copy: Run, tmp_path: Path) -> None:
    data = write_medmnist(tmp_path / "tiny.npz", medmnist_arrays(seed=5))
    recipe = yaml.safe_load(run_copy.recipe_path.read_text())
    run_copy.recipe_path.write_text(yaml.safe_dump(recipe | {"data": str(data)}))
    facts = json.loads(run_copy.facts_path.read_text())
    from training.datasets import read_dataset

    facts["training_data"] = read_dataset(run_copy.recipe()).provenance().model_dump()
    run_copy.facts_path.write_text(json.dumps(facts))
    evaluate(run_copy, "val")
    with pytest.raises(TrainingError, match="different data"):
        analyse(finished, against=run_copy, report=lambda _: None)
