"""Runs side by side: means and spreads over seeds, by hand."""

import json
import math
import shutil
from pathlib import Path

import pytest
import yaml

from training.errors import TrainingError
from training.run import Run
from training.summary import summarise


@pytest.fixture
def runs(finished: Run, tmp_path: Path) -> list[Path]:
    """Copies of a run with made-up figures: three seeds of srm, one of se."""
    folders = []
    for name, seed, auc in (("srm", 0, 0.80), ("srm", 1, 0.86), ("srm", 2, 0.92), ("se", 0, 0.70)):
        folder = Path(shutil.copytree(finished.folder, tmp_path / f"{name}-{seed}"))
        recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
        recipe["network"]["recalibration"] = name
        (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        report = {"data": "eyes", "seed": seed, "metrics": {"macro_auc": {"value": auc}, "mcc": {"value": auc / 2}}}
        (folder / "metrics.json").write_text(json.dumps({"val": report}))
        folders.append(folder)
    return folders


def test_mean_and_spread_over_seeds(runs: list[Path]) -> None:
    srm, se = summarise(runs, "val")
    assert (srm.data, srm.recalibration, srm.seeds) == ("eyes", "srm", [0, 1, 2])
    assert srm.mean == pytest.approx({"macro_auc": 0.86, "mcc": 0.43})
    assert srm.spread == pytest.approx({"macro_auc": 0.06, "mcc": 0.03})  # n - 1
    assert (se.recalibration, se.seeds) == ("se", [0])
    assert se.mean["macro_auc"] == pytest.approx(0.7)
    assert math.isnan(se.spread["macro_auc"])


def test_a_seed_twice_is_refused(runs: list[Path]) -> None:
    with pytest.raises(TrainingError, match="eyes, srm: two runs have the same seed"):
        summarise([*runs, runs[0]], "val")


def test_a_run_without_figures_is_refused(runs: list[Path]) -> None:
    with pytest.raises(TrainingError, match=r"srm-0 has no figures on the test split"):
        summarise(runs, "test")


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="is not a run folder"):
        summarise([tmp_path], "val")
