"""The rows of the epochs, against TensorBoard's curves, and the lines that say the same."""

from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest

from tests.training.fitting.quick import quick
from tests.training.run_folder import curves, epochs
from tests.training.tiny_data import tiny_recipe
from training.evaluation.metrics import METRICS
from training.fitting.engine import fit
from training.run import Run


@pytest.fixture(scope="module")
def told(few_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, list[str]]:
    """A run of three epochs of two steps, and the lines that it reported."""
    lines: list[str] = []
    recipe = tiny_recipe(few_npz, epochs=3, batch_size=10)
    run = fit(recipe, tmp_path_factory.mktemp("told") / "run", progress=False, report=lines.append)
    return run, [line for line in lines if line.startswith("epoch ")]


def test_rows_are_those_of_the_curves(told: tuple[Run, list[str]]) -> None:
    run, _ = told
    rows, found = epochs(run), curves(run)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    by_epoch = np.reshape([value for _, value in found["train/loss"]], (3, 2))
    assert [float(row["train_loss"]) for row in rows] == pytest.approx(by_epoch.mean(axis=1).tolist(), rel=1e-5)
    for name in METRICS:
        assert [float(row[name]) for row in rows] == pytest.approx([value for _, value in found[name]], rel=1e-5)
    rates = [value for _, value in found["train/learning_rate"]][1::2]
    assert [float(row["learning_rate"]) for row in rows] == pytest.approx(rates, rel=1e-5)


def test_best_is_the_best_so_far(told: tuple[Run, list[str]]) -> None:
    rows = epochs(told[0])
    aucs = [float(row["macro_auc"]) for row in rows]
    assert [float(row["best_macro_auc"]) for row in rows] == list(accumulate(aucs, max))
    assert [int(row["best_epoch"]) for row in rows] == [aucs.index(max(aucs[: i + 1])) + 1 for i in range(3)]


def test_speed_is_that_of_the_training_steps(told: tuple[Run, list[str]]) -> None:
    for row in epochs(told[0]):
        assert float(row["seconds"]) > 0
        # 20 images in less than the epoch, which validates too
        assert 20 / float(row["images_per_second"]) <= float(row["seconds"]) + 0.01


def test_lines_say_the_same(told: tuple[Run, list[str]]) -> None:
    run, lines = told
    rows = epochs(run)
    assert len(lines) == len(rows) == 3
    for number, (line, row) in enumerate(zip(lines, rows, strict=True), 1):
        assert line.startswith(f"epoch {number}/3: loss {float(row['train_loss']):.4f}, ")
        assert f"validation macro_auc {float(row['macro_auc']):.4f}, nll {float(row['nll']):.4f}, " in line
        assert f" {float(row['images_per_second']):.0f} images/s, " in line
        assert f"learning rate {float(row['learning_rate']):.3g}, " in line
        assert line.endswith(f"best macro_auc {float(row['best_macro_auc']):.4f} in epoch {row['best_epoch']}")


def test_a_progress_bar_takes_the_place_of_the_lines(few_npz: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    run = fit(tiny_recipe(few_npz, epochs=1, batch_size=10), tmp_path / "run", progress=True, report=lines.append)
    assert not [line for line in lines if line.startswith("epoch ")]
    assert len(epochs(run)) == 1


def test_overwritten_keeps_no_rows_of_the_old_run(few_npz: Path, tmp_path: Path) -> None:
    quick(few_npz, tmp_path / "run", epochs=2)
    assert len(epochs(quick(few_npz, tmp_path / "run", overwrite=True))) == 1
