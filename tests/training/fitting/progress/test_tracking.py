"""MLflow: what is stored, once, also after a kill; and a sentence where it is not installed."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.training.tiny_data import medmnist_arrays, tiny_recipe, write_medmnist
from training.errors import TrainingError
from training.fitting.engine import fit
from training.fitting.run_writer import RunWriter
from training.recipe import Recipe

FEW = {"train": (12, 8, 6, 4, 4), "val": (2, 2, 2, 2, 2), "test": (1, 1, 1, 1, 1)}


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    data = write_medmnist(tmp_path / "few.npz", medmnist_arrays(FEW))
    return tiny_recipe(
        data, name="tracked", batch_size=8, tracking="mlflow", network={"depth": 20, "width": 0.25}, checkpoint_every=1
    )


def test_that_is_not_installed_is_a_sentence(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(TrainingError, match=r"pip install 'retina-srm\[mlflow\]', or set tracking=none"):
        fit(recipe, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_stores_each_figure_once(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.environ.get("TRACKING_MLFLOW") != "required":
        pytest.importorskip("mlflow")
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)
    calls = 0
    whole = RunWriter.step

    def break_off(self: RunWriter, trainer: Any) -> None:
        nonlocal calls
        calls += 1
        whole(self, trainer)
        if calls == 6:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunWriter, "step", break_off)
    with pytest.raises(KeyboardInterrupt):
        fit(recipe, tmp_path / "run", progress=False)
    monkeypatch.setattr(RunWriter, "step", whole)
    run = fit(recipe, tmp_path / "run", resume=True, progress=False)

    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("tracked")
    assert experiment is not None
    [stored] = client.search_runs([experiment.experiment_id])
    assert stored.info.status == "FINISHED"
    assert stored.data.tags["data_md5"] == run.facts().training_data.md5
    assert stored.data.params["network.width"] == "0.25"
    steps = [metric.step for metric in client.get_metric_history(stored.info.run_id, "train/loss")]
    assert sorted(steps) == list(range(1, 9))
    assert sorted(m.step for m in client.get_metric_history(stored.info.run_id, "macro_auc")) == [1, 2]
    assert {item.path for item in client.list_artifacts(stored.info.run_id)} == {"recipe.yaml", "facts.json"}
