"""Training curves out of TensorBoard's files, against what was written."""

from pathlib import Path

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from training.report.charts import smooth
from training.report.history import read_history


def write(folder: Path, values: dict[int, float]) -> None:
    with SummaryWriter(str(folder)) as writer:
        for step, value in values.items():
            writer.add_scalar("macro_auc", value, step)


def test_a_resumed_run_counts_each_step_once(tmp_path: Path) -> None:
    write(tmp_path, {1: 0.5, 2: 0.6, 3: 0.7})
    write(tmp_path, {3: 0.75, 4: 0.8})
    curve = read_history(tmp_path)["macro_auc"]
    np.testing.assert_array_equal(curve.steps, [1, 2, 3, 4])
    np.testing.assert_allclose(curve.values, [0.5, 0.6, 0.75, 0.8], atol=1e-6)


def test_no_log_is_no_curves(tmp_path: Path) -> None:
    assert read_history(tmp_path / "none") == {}


def test_smoothing_keeps_a_constant_and_the_mean_of_a_line() -> None:
    np.testing.assert_allclose(smooth(np.full(100, 3.0)), 3.0)
    line = np.arange(200.0)
    np.testing.assert_allclose(smooth(line)[20:-20], line[20:-20], atol=0.51)
